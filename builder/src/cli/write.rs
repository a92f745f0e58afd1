//! `basalt write`.

use std::path::PathBuf;

use anyhow::Result;
use basalt_sysroot::partition::SectorSize;
use clap::{Args, ValueEnum};

use super::print_line;
use crate::progress::Progress;
use crate::write::target::Asked;
use crate::write::{self, Afterwards, Consent, Left, Options, Patience, Place, Release, Written};

#[derive(Debug, Args)]
pub(super) struct WriteArgs {
    /// The image, as `out/base/1/disk.raw`: a file or an http(s) URL, plain or compressed by zstd,
    /// xz or gzip
    #[arg(value_name = "IMAGE|URL")]
    image: String,
    /// The disk, as `/dev/sdX`, all of which is lost; or a file, which becomes the image's copy
    #[arg(long, value_name = "DEVICE|FILE")]
    to: PathBuf,
    /// The same path once more, for a disk that is neither removable nor on USB: as
    /// `--to /dev/nvme0n1 --fixed /dev/nvme0n1`
    #[arg(long, value_name = "DEVICE")]
    fixed: Option<PathBuf>,
    /// What the host is to take as its `host.toml`; it lies on the EFI partition, which anybody
    /// reads who has the disk, until the first boot
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Public key, `NAME.pub`, whose images are written, and no others; several may be given
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// What the target addresses, where that cannot be seen, as in a file [default: 512]
    #[arg(long, value_name = "BYTES")]
    sector_size: Option<Sectors>,
    /// Do not ask before all on a disk is lost
    #[arg(long)]
    yes: bool,
    /// Leave a stick attached, instead of letting it go
    #[arg(long)]
    no_eject: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sectors {
    #[value(name = "512")]
    B512,
    #[value(name = "4096")]
    B4096,
}

impl WriteArgs {
    fn options(self) -> Options {
        let sector = |sectors| match sectors {
            Sectors::B512 => SectorSize::B512,
            Sectors::B4096 => SectorSize::B4096,
        };
        Options {
            image: Place::parse(&self.image),
            target: Asked { to: self.to, fixed: self.fixed },
            keys: self.key,
            config: self.config,
            sector: self.sector_size.map(sector),
            consent: if self.yes { Consent::Given } else { Consent::Asked },
            afterwards: if self.no_eject { Afterwards::Keep } else { Afterwards::Eject },
            patience: Patience::default(),
        }
    }
}

pub(super) fn write(args: WriteArgs) -> Result<()> {
    let (to, json) = (args.to.clone(), args.json);
    let written = write::write(&args.options(), Progress::for_stderr())?;
    if json {
        return print_line(&serde_json::to_string_pretty(&written)?);
    }
    print_line(&text(&written, &to.display().to_string()))
}

fn text(written: &Written, to: &str) -> String {
    let Written { release, trusted, digest, disk, left } = written;
    let what = match release {
        Some(Release { name, version }) => format!("{name} {version}"),
        None => "the image".to_owned(),
    };
    let signed = if *trusted { ", signed by a trusted key" } else { "" };
    let left = match left {
        Left::Ejected => "\n  it may be pulled out".to_owned(),
        Left::Attached => String::new(),
        Left::NotEjected(why) => format!("\n  it is written, and was not let go: {why}"),
    };
    format!("wrote {what} to {to}{signed}\n  digest  {digest}\n  disk    {disk}{left}")
}
