//! The partition table of a new disk: an ESP and a root.

use std::fs::File;

use basalt_disk::{Entry, Table};
use basalt_sysroot::partition::{
    ESP_NAME, ESP_NUMBER, ESP_TYPE, Extent, Layout, ROOT_NAME, ROOT_NUMBER, ROOT_X86_64_TYPE,
};
use gpt::GptError;
use uuid::Uuid;

use super::DiskIds;

/// Writes the table of `layout` into `file`, which has the disk's length.
pub(crate) fn write(file: &File, layout: &Layout, ids: &DiskIds) -> Result<(), GptError> {
    let esp = entry(layout.esp, ESP_TYPE, ids.esp_partition, ESP_NAME);
    let root = entry(layout.root, ROOT_X86_64_TYPE, ids.root_partition, ROOT_NAME);
    let entries = [(ESP_NUMBER, esp), (ROOT_NUMBER, root)].into();
    Table { id: ids.disk, size: layout.disk, sector: layout.sector, entries }.write(&mut { file })
}

fn entry(extent: Extent, kind: Uuid, id: Uuid, name: &str) -> Entry {
    Entry { extent, kind, id, name: name.to_owned(), flags: 0 }
}
