//! A host that somebody at its console resets. What may go wrong with that is a story of
//! `cargo xtask proof updates`.

use qemu_tests::host::machine;
use qemu_tests::reset;
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "reset",
    machine: Start::Image(|image| machine(image).shell()),
    steps: &[
        ("a_boot_proves_itself_before_anybody_resets_the_host", reset::proves_itself),
        ("a_reset_can_be_asked_for_and_withdrawn", reset::asked_for),
        ("whoever_types_the_word_at_the_console_erases_everything", reset::erased),
    ],
};
