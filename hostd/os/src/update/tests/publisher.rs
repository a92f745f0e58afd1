//! Who publishes releases: libostree, GnuPG and the archive are real.

use basalt_release::{BootContent, FORM, SecretKey, seal};
use basalt_sysroot::boot_file::Kind;
use tempfile::TempDir;

use super::*;
use crate::esp::place;

const REF: &str = "basalt/base";

/// Who publishes: a key of each kind, and an archive.
pub(crate) struct Publisher {
    pub(crate) dir: TempDir,
    pub(crate) commits: SigningKey,
    pub(crate) manifests: SecretKey,
    pub(crate) sequence: Cell<u64>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let commits = gpg_key(dir.path());
        let (manifests, _) = SecretKey::create().unwrap();
        Self { dir, commits, manifests, sequence: Cell::new(0) }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.at("archive").display())
    }

    /// Commits a tree of this version, with this kernel, and publishes it as the release of now.
    pub(crate) fn publish(&self, version: &str, kernel: &str) -> Manifest {
        self.publish_by(version, kernel, Some(&self.commits))
    }

    pub(crate) fn publish_by(
        &self,
        version: &str,
        kernel: &str,
        key: Option<&SigningKey>,
    ) -> Manifest {
        self.publish_tree(version, &[("usr/lib/modules/6.1/vmlinuz", kernel)], key)
    }

    /// With these files beside the others.
    pub(crate) fn publish_with(&self, version: &str, files: &[(&str, &str)]) -> Manifest {
        self.publish_tree(version, files, Some(&self.commits))
    }

    pub(crate) fn publish_tree(
        &self,
        version: &str,
        files: &[(&str, &str)],
        key: Option<&SigningKey>,
    ) -> Manifest {
        let commit = self.commit(version, files, key);
        self.offer(version, &commit)
    }

    /// Into the archive, as its release of now; nothing says so yet.
    pub(crate) fn commit(
        &self,
        version: &str,
        files: &[(&str, &str)],
        key: Option<&SigningKey>,
    ) -> String {
        let tree = self.at("tree");
        let _ = fs::remove_dir_all(&tree);
        let os_release = format!("PRETTY_NAME=\"Basalt {version}\"\n");
        let common = [
            ("usr/lib/modules/6.1/vmlinuz", "kernel"),
            ("usr/lib/modules/6.1/initramfs.img", "initramfs"),
            ("usr/lib/os-release", &os_release),
            ("usr/lib/basalt/kargs.d/10-image.conf", "quiet\n"),
            ("usr/etc/file", "from the image"),
        ];
        for (path, text) in common.into_iter().chain(files.iter().copied()) {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), text).unwrap();
        }
        let work = Repo::open_or_create(&self.at("work")).unwrap();
        let request =
            CommitRequest { ref_name: REF, time: 1, version: Some(version), build_id: None, key };
        let commit = work.commit(&tree, &request).unwrap();
        let archive = Repo::open_or_create_archive(&self.at("archive")).unwrap();
        archive.pull_local(&work, &commit).unwrap();
        archive.set_ref(REF, &commit).unwrap();
        archive.summarize(&self.commits).unwrap();
        commit
    }

    /// Writes the manifest of a commit.
    pub(crate) fn offer(&self, version: &str, commit: &str) -> Manifest {
        self.offer_by(&self.manifests, version, commit)
    }

    fn boot_files(&self, commit: &str) -> Vec<BootContent> {
        let archive = Repo::open(&self.at("archive")).unwrap();
        let file = |(kind, name)| {
            let path = format!("usr/lib/modules/6.1/{name}");
            let content = archive.read_file(commit, &path).unwrap()?;
            let bytes = content.len() as u64;
            Some(BootContent { place: place(kind, &content).to_string(), bytes })
        };
        let files = [(Kind::Linux, "vmlinuz"), (Kind::Initrd, "initramfs.img")];
        files.into_iter().filter_map(file).collect()
    }

    pub(crate) fn offer_by(&self, key: &SecretKey, version: &str, commit: &str) -> Manifest {
        self.sequence.set(self.sequence.get() + 1);
        let manifest = Manifest {
            form: FORM,
            name: "base".into(),
            ref_name: REF.into(),
            version: version.into(),
            commit: commit.into(),
            sequence: self.sequence.get(),
            published: now(),
            expires: "2027-06-01T00:00:00Z".parse().unwrap(),
            tree_bytes: 1 << 20,
            boot_bytes: 1 << 10,
            boot_files: self.boot_files(commit),
            download_bytes: 1 << 20,
            deltas: Vec::new(),
        };
        let bytes = seal(&manifest, std::slice::from_ref(key)).unwrap();
        let folder = self.at("archive/releases/base");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{version}.json")), &bytes).unwrap();
        fs::write(self.at("archive/releases/base.json"), &bytes).unwrap();
        manifest
    }
}

fn gpg_key(folder: &Path) -> SigningKey {
    let home = folder.join("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |args: &[&str]| {
        let gpg = Cmd::new("gpg").arg("--homedir").arg(&home);
        let gpg = gpg.args(["--batch", "--quiet", "--passphrase", ""]).args(args);
        gpg.run().unwrap().stdout_text()
    };
    gpg(&["--quick-generate-key", "release", "ed25519", "sign", "never"]);
    let listed = gpg(&["--list-keys", "--with-colons"]);
    let fingerprint = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
    let fingerprint = fingerprint.split(':').nth(9).unwrap().to_owned();
    fs::create_dir(folder.join("keys")).unwrap();
    fs::write(folder.join("keys/release.asc"), gpg(&["--armor", "--export"])).unwrap();
    SigningKey { home, fingerprint }
}
