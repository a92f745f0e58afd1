//! Checks the sizes of the disk: each alone, and that they fit.

use basalt_sysroot::partition::{Layout, LayoutError, SectorSize, Sizes};

use super::super::merge::Text;
use super::super::{DiskSizes, Size};
use super::Checker;

/// Two versions of even the smallest host.
const MIN_ROOT: u64 = 1 << 30;
/// Two kernels and their initramfs, with room to write the third before the first goes.
const MIN_ESP: u64 = 128 << 20;

impl Checker<'_> {
    /// `texts` are `size`, `esp`, `root` and `var_min`.
    pub(super) fn disk(&mut self, texts: &[Text; 4]) -> Option<DiskSizes> {
        let [size, esp, root, var_min] = texts;
        let sizes = [
            self.size("disk.size", size),
            self.size("disk.esp", esp),
            self.size("disk.root", root),
            self.size("disk.var_min", var_min),
        ];
        let [Some(total), Some(esp_size), Some(root_size), Some(var_size)] = sizes else {
            return None;
        };
        let floor = [(esp, esp_size, MIN_ESP, "an ESP"), (root, root_size, MIN_ROOT, "a root")];
        for (at, found, least, what) in floor {
            if found.bytes() < least
                && let Some(at) = at
            {
                let message = format!("{what} of {found} is too small");
                self.at(at, &message, &format!("use at least {}", mib(least)));
            }
        }
        let sizes = Sizes { disk: total.bytes(), esp: esp_size.bytes(), root: root_size.bytes() };
        let needed = sizes.esp.saturating_add(sizes.root).saturating_add(var_size.bytes());
        let free = match Layout::new(&sizes, SectorSize::B512) {
            Ok(layout) => layout.free.length,
            Err(LayoutError::EspTooSmall { .. }) => return None,
            Err(_) => 0,
        };
        // A derived definition that raises `root` is to blame, not the `size` that it inherits.
        let youngest = texts.iter().flatten().min_by_key(|at| at.file);
        if free < var_size.bytes()
            && let Some(at) = youngest
        {
            let message = format!(
                "a disk of {total} cannot hold an ESP of {esp_size}, a root of {root_size} and \
                 {var_size} for /var"
            );
            let hint = format!("use a `size` of at least {}", mib(needed.saturating_add(2 << 20)));
            self.at(at, &message, &hint);
        }
        Some(DiskSizes { size: total, esp: esp_size, root: root_size, var_min: var_size })
    }

    fn size(&mut self, key: &str, text: &Text) -> Option<Size> {
        let Some(at) = text else {
            self.missing(key);
            return None;
        };
        match Size::parse(&at.value) {
            Ok(size) => Some(size),
            Err((message, hint)) => {
                self.at(at, &message, hint);
                None
            }
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{}MiB", bytes.div_ceil(1 << 20))
}
