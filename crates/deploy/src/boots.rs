//! What a commit boots from, read without checking it out.

use basalt_sysroot::kargs;

use crate::{DeployError, Repo};

const MODULES: &str = "usr/lib/modules";
const OS_RELEASE: &str = "usr/lib/os-release";

impl Repo {
    /// The folder of `commit` that has its `vmlinuz` and its `initramfs.img`.
    ///
    /// # Errors
    /// There is no such commit, or it has no kernel or several.
    pub fn kernel_folder(&self, commit: &str) -> Result<String, DeployError> {
        let mut with_kernel = Vec::new();
        for version in self.list_folder(commit, MODULES)? {
            let folder = format!("{MODULES}/{version}");
            if self.file_size(commit, &format!("{folder}/vmlinuz"))?.is_some() {
                with_kernel.push(folder);
            }
        }
        match &with_kernel[..] {
            [folder] => Ok(folder.clone()),
            [] => Err(no_host(commit, format!("has no kernel in `/{MODULES}`"))),
            many => Err(no_host(commit, format!("has more than one kernel: {}", many.join(", ")))),
        }
    }

    /// What the loader's menu shows: the system's own `PRETTY_NAME`.
    ///
    /// # Errors
    /// There is no such commit, or it has none.
    pub fn title(&self, commit: &str) -> Result<String, DeployError> {
        self.os_release(commit, "PRETTY_NAME")?
            .ok_or_else(|| no_host(commit, format!("has no PRETTY_NAME in `/{OS_RELEASE}`")))
    }

    /// A field of its `os-release`; `None` where it says nothing of it.
    ///
    /// # Errors
    /// There is no such commit, or it has no such file.
    pub fn os_release(&self, commit: &str, field: &str) -> Result<Option<String>, DeployError> {
        let text = self.needed(commit, OS_RELEASE)?;
        let text = String::from_utf8_lossy(&text);
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='));
        Ok(value.map(|value| value.trim_matches(['"', '\'']).to_owned()))
    }

    /// The kernel arguments that the image has.
    ///
    /// # Errors
    /// There is no such commit, or a file of them cannot be read.
    pub fn kernel_arguments(&self, commit: &str) -> Result<Vec<String>, DeployError> {
        let mut arguments = Vec::new();
        for name in self.list_folder(commit, kargs::FOLDER)? {
            if !name.ends_with(kargs::SUFFIX) {
                continue;
            }
            let path = format!("{}/{name}", kargs::FOLDER);
            let wrong = |why: String| no_host(commit, format!("has a bad `/{path}`: {why}"));
            let text = String::from_utf8(self.needed(commit, &path)?);
            let text = text.map_err(|error| wrong(error.to_string()))?;
            arguments.extend(kargs::parse(&text).map_err(|error| wrong(error.to_string()))?);
        }
        Ok(arguments)
    }

    /// A file that it must have.
    ///
    /// # Errors
    /// It has none, or cannot be read.
    pub fn needed(&self, commit: &str, path: &str) -> Result<Vec<u8>, DeployError> {
        let found = self.read_file(commit, path)?;
        found.ok_or_else(|| no_host(commit, format!("has no `/{path}`")))
    }
}

fn no_host(commit: &str, why: String) -> DeployError {
    DeployError::NoHost { commit: commit.to_owned(), why }
}
