//! A file of systemd's: sections with their lines, in the order in which they were said.

/// The sections of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Sections(Vec<(&'static str, Vec<(&'static str, String)>)>);

impl Sections {
    /// One more line in a section. What was said before of the same is said once.
    pub(super) fn put(&mut self, section: &'static str, key: &'static str, value: &str) {
        let at = match self.0.iter().position(|(name, _)| *name == section) {
            Some(at) => at,
            None => {
                self.0.push((section, Vec::new()));
                self.0.len() - 1
            }
        };
        let line = (key, value.to_owned());
        if !self.0[at].1.contains(&line) {
            self.0[at].1.push(line);
        }
    }

    /// As networkd reads it.
    pub(super) fn render(&self) -> String {
        let mut text = "# From the kickstart.\n".to_owned();
        for (name, lines) in &self.0 {
            text.push_str(&format!("\n[{name}]\n"));
            for (key, value) in lines {
                text.push_str(&format!("{key}={value}\n"));
            }
        }
        text
    }
}

/// A device that networkd makes.
pub(super) fn netdev(name: &str, kind: &str) -> Sections {
    let mut sections = Sections::default();
    sections.put("NetDev", "Name", name);
    sections.put("NetDev", "Kind", kind);
    sections
}
