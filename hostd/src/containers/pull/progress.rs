//! Whether a fetch moves: engines repeat themselves while nothing comes. Pure.

use std::collections::HashMap;

use bollard::models::CreateImageInfo;

/// Layers that are told apart; an image has at most 127 (overlayfs).
const MAX_LAYERS: usize = 1024;
/// Bytes of a layer that count as progress.
const STEP: u64 = 64 << 10;

/// How far each layer is.
#[derive(Debug, Default)]
pub(super) struct Progress(HashMap<String, (String, i64)>);

impl Progress {
    /// Takes a message; whether it tells of anything new. A layer that brings less than [`STEP`]
    /// does not move: a registry that trickles would keep the fetch alive for ever.
    pub(super) fn moved(&mut self, message: &CreateImageInfo) -> bool {
        let id = message.id.clone().unwrap_or_default();
        let current = message.progress_detail.as_ref().and_then(|detail| detail.current);
        let now = (message.status.clone().unwrap_or_default(), current.unwrap_or_default());
        if let Some((status, bytes)) = self.0.get(&id) {
            let step = if status == "Downloading" { STEP } else { 1 };
            if *status == now.0 && bytes.abs_diff(now.1) < step {
                return false;
            }
        }
        if self.0.len() < MAX_LAYERS || self.0.contains_key(&id) {
            self.0.insert(id, now);
        }
        true
    }

    /// Whether nothing more comes from the network: every layer that was named is here.
    pub(super) fn has_all(&self) -> bool {
        let is_here = |status: &str| {
            ["Download complete", "Pull complete", "Already exists", "Extracting"].contains(&status)
        };
        // What stands beside the layers (`Pulling from …`, `Digest: …`) has no progress.
        let is_coming = |status: &str| {
            ["Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum"].contains(&status)
                || status.starts_with("Retrying")
        };
        self.0.values().any(|(status, _)| is_here(status))
            && !self.0.values().any(|(status, _)| is_coming(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `(id, status, bytes)` and returns how many of them moved.
    fn feed(progress: &mut Progress, messages: &[(&str, &str, Option<i64>)]) -> usize {
        let is_new = |(id, status, current): &&(&str, &str, Option<i64>)| {
            let message = CreateImageInfo {
                id: Some((*id).to_owned()),
                status: Some((*status).to_owned()),
                progress_detail: Some(bollard::models::ProgressDetail {
                    current: *current,
                    total: None,
                }),
                ..CreateImageInfo::default()
            };
            progress.moved(&message)
        };
        messages.iter().filter(is_new).count()
    }

    #[test]
    fn a_repetition_is_no_progress() {
        let mut progress = Progress::default();
        let message = ("a", "Downloading", Some(5));
        assert_eq!(feed(&mut progress, &[message, message, message]), 1);
        assert_eq!(
            feed(&mut progress, &[("a", "Downloading", Some(70_000)), ("b", "Waiting", None)]),
            2
        );
    }

    #[test]
    fn a_trickle_is_no_progress() {
        let mut progress = Progress::default();
        let mut at = |bytes| feed(&mut progress, &[("a", "Downloading", Some(bytes))]);
        let moved: usize = (0..100).map(|number| at(number * 1000)).sum();
        assert_eq!(moved, 2, "at the beginning and after 65,536 bytes");
    }

    #[test]
    fn all_is_here_once_no_layer_is_on_its_way() {
        let mut progress = Progress::default();
        feed(&mut progress, &[("1", "Pulling from a/tiny", None)]);
        assert!(!progress.has_all());
        feed(&mut progress, &[("a", "Download complete", None), ("b", "Downloading", Some(1))]);
        assert!(!progress.has_all());
        feed(&mut progress, &[("b", "Retrying in 5 seconds", None)]);
        assert!(!progress.has_all());
        feed(&mut progress, &[("b", "Extracting", Some(1))]);
        assert!(progress.has_all());
    }
}
