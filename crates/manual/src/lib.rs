//! What a program tells of itself beside `--help`: completions for shells, and man pages.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

/// What `completion` takes.
#[derive(Debug, Clone, Args)]
#[command(disable_version_flag = true)]
pub struct CompletionArgs {
    /// The shell to complete for
    shell: Shell,
}

/// What `man` takes.
#[derive(Debug, Clone, Args)]
#[command(disable_version_flag = true)]
pub struct ManArgs {
    /// Folder for the pages, one for each command
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Prints what clap says instead of what was typed: help and versions to stdout, and that is good;
/// mistakes to stderr, which whoever typed them can mend.
#[must_use]
pub fn exit(said: &clap::Error) -> ExitCode {
    // Whoever reads may have gone; there is nobody else to tell.
    let _ = said.print();
    if said.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A script for the shell, as `source <(basalt completion bash)` takes it.
#[must_use]
pub fn completion(mut command: Command, args: &CompletionArgs) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    script
}

/// Writes the man pages of a program and its commands, and returns the folder.
///
/// # Errors
/// The folder cannot be written.
pub fn write_pages(command: Command, args: &ManArgs) -> io::Result<&Path> {
    std::fs::create_dir_all(&args.out)?;
    clap_mangen::generate_to(command, &args.out)?;
    Ok(&args.out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("stone").subcommand(Command::new("weigh").about("Say how heavy it is"))
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let args = ManArgs { out: folder.path().join("man") };
        write_pages(command(), &args).unwrap();
        let page = std::fs::read_to_string(args.out.join("stone-weigh.1")).unwrap();
        assert!(page.contains("Say how heavy it is"), "{page}");
    }

    #[test]
    fn a_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completion(command(), &CompletionArgs { shell });
            assert!(String::from_utf8_lossy(&script).contains("weigh"), "{shell}");
        }
    }
}
