//! Archives that the kernel unpacks into its first root: cpio's "newc" form (the kernel's
//! `initramfs/buffer-format`).

/// An archive that is being made.
#[derive(Debug, Default)]
pub struct Cpio(Vec<u8>);

impl Cpio {
    /// Adds a file, or a folder with no bytes, by its whole mode. What came before it under the
    /// same name, it replaces.
    pub fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) {
        let Self(archive) = self;
        // Nothing here comes near 4 GiB.
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let size = length(bytes.len());
        let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length(name.len() + 1), 0];
        archive.extend(b"070701");
        for field in fields {
            archive.extend(format!("{field:08x}").into_bytes());
        }
        for part in [format!("{name}\0").as_bytes(), bytes] {
            archive.extend(part);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }

    /// All of it.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, b"");
        self.0
    }
}
