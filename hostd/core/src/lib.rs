//! What `hostd` decides. Pure: no I/O, no clock, no runtime. In reading order:
//!
//! [`books`] says what the ledger takes, [`leaving`] what it keeps of what goes, [`wanted`] and [`policy`] what shall run, [`instance`] what is there, [`track`] what is
//! remembered, [`plan`] which [`step`]s follow, [`updating`] what is done about another
//! release. The rest judges the host itself.

pub mod address;
pub mod books;
pub mod boot;
pub mod checkin;
pub mod cmdline;
pub mod comeback;
pub mod health;
pub mod instance;
pub mod joining;
pub mod leaving;
pub mod ledger;
pub mod plan;
pub mod policy;
pub mod reach;
pub mod step;
pub mod track;
pub mod updating;
pub mod wanted;
