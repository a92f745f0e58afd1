//! Whether a fetch moves: engines repeat themselves while nothing comes. Pure.

use std::collections::HashMap;

use bollard::models::CreateImageInfo;

/// Layers that are told apart; an image has at most 127 (overlayfs).
const MAX_LAYERS: usize = 1024;
/// Bytes of a layer that count as progress.
const STEP: u64 = 64 << 10;

/// How far each layer is.
#[derive(Debug, Default)]
pub(super) struct Progress(HashMap<String, Layer>);

#[derive(Debug)]
struct Layer {
    status: String,
    bytes: i64,
    /// The most that was told of it, as its size or as what has come.
    size: u64,
}

impl Progress {
    /// Takes a message; whether it tells of anything new. A layer that brings less than [`STEP`]
    /// does not move: a registry that trickles would keep the fetch alive for ever.
    pub(super) fn moved(&mut self, message: &CreateImageInfo) -> bool {
        let id = message.id.clone().unwrap_or_default();
        let detail = message.progress_detail.as_ref();
        let bytes = detail.and_then(|detail| detail.current).unwrap_or_default();
        let total = detail.and_then(|detail| detail.total).unwrap_or_default();
        let status = message.status.clone().unwrap_or_default();
        let size = u64::try_from(bytes.max(total)).unwrap_or_default();
        let Some(layer) = self.0.get_mut(&id) else {
            // One layer too many is never known, and would seem new each time.
            let is_told_apart = self.0.len() < MAX_LAYERS;
            if is_told_apart {
                self.0.insert(id, Layer { status, bytes, size });
            }
            return is_told_apart;
        };
        layer.size = layer.size.max(size);
        let step = if layer.status == "Downloading" { STEP } else { 1 };
        if layer.status == status && layer.bytes.abs_diff(bytes) < step {
            return false;
        }
        (layer.status, layer.bytes) = (status, bytes);
        true
    }

    /// Bytes that all layers have as they are sent, as far as it was told yet.
    pub(super) fn size(&self) -> u64 {
        self.0.values().fold(0, |sum, layer| sum.saturating_add(layer.size))
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
        self.0.values().any(|layer| is_here(&layer.status))
            && !self.0.values().any(|layer| is_coming(&layer.status))
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
    fn an_image_is_as_large_as_its_layers_say_and_as_what_came_of_them() {
        let mut progress = Progress::default();
        let mut tell = |id: &str, status: &str, current, total| {
            let detail = bollard::models::ProgressDetail { current, total };
            progress.moved(&CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: Some(detail),
                ..CreateImageInfo::default()
            });
            progress.size()
        };
        assert_eq!(tell("a", "Downloading", Some(1), Some(100)), 100);
        assert_eq!(tell("b", "Downloading", None, Some(50)), 150);
        // One that says less than it sends, in steps that are no progress.
        assert_eq!(tell("b", "Downloading", Some(60), Some(50)), 160);
        // What is here says no size any more.
        assert_eq!(tell("a", "Download complete", None, None), 160);
        assert_eq!(tell("c", "Downloading", Some(-5), Some(-1)), 160);
        assert_eq!(tell("d", "Downloading", None, Some(i64::MAX)), 160 + i64::MAX as u64);
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

    #[test]
    fn fuzz_messages_of_a_pull() {
        let seed = r#"{"status":"Pulling fs layer","progressDetail":{},"id":"a"}
    {"status":"Downloading","progressDetail":{"current":65536,"total":9999999},"id":"a"}
    {"status":"Download complete","id":"a"}
    {"status":"Downloading","progressDetail":{"current":-9223372036854775808,"total":-1},"id":"b"}
    {"status":"Downloading","progressDetail":{"current":9223372036854775807},"id":"b"}"#;
        basalt_fuzz::run_on_text!(&[seed], |text| {
            let mut progress = Progress::default();
            let mut size = 0;
            for line in text.lines() {
                let Ok(message) = serde_json::from_str::<CreateImageInfo>(line) else { continue };
                progress.moved(&message);
                assert!(!progress.moved(&message), "a repetition is no progress");
                assert!(progress.size() >= size, "an image shrinks while it comes");
                size = progress.size();
                progress.has_all();
            }
        });
    }

    #[test]
    fn a_layer_too_many_is_no_progress() {
        let mut progress = Progress::default();
        let ids: Vec<String> = (0..=MAX_LAYERS).map(|number| number.to_string()).collect();
        let all: Vec<_> = ids.iter().map(|id| (id.as_str(), "Downloading", None)).collect();
        assert_eq!(feed(&mut progress, &all), MAX_LAYERS);
        assert_eq!(feed(&mut progress, &all), 0);
    }
}
