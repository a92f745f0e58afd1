//! Installs onto loop devices with the real program, from a small repository, and looks at what is
//! there with the tools that others use. Only root can.

mod cuts;
mod ground;
mod refusals;
mod scripts;
mod settings;
mod sources;
mod whole;
