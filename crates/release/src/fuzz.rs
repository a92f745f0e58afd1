//! What a server offers as a release, and files of keys, are read without harm, whatever they are.

use basalt_fuzz::run;

use crate::image::tests::image;
use crate::manifest::tests::manifest;
use crate::{Manifest, PublicKey, SecretKey, open, open_image, seal, seal_image};

/// The same each time, so that a search can go on with what an earlier one found.
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n\
    -----END PRIVATE KEY-----\n";

fn key() -> SecretKey {
    SecretKey::parse(KEY).expect("a key")
}

#[test]
fn fuzz_envelope_of_a_release() {
    let sealed = seal(&manifest(), &[key()]).expect("sealed");
    run(&[&sealed], |bytes| {
        // What opens is what was signed.
        if let Ok(opened) = open(bytes, &[key().public()]) {
            assert_eq!(opened, manifest());
        }
    });
}

#[test]
fn fuzz_envelope_of_an_image() {
    let sealed = seal_image(&image(), &[key()]).expect("sealed");
    run(&[&sealed], |bytes| {
        // What opens is what was signed.
        if let Ok(opened) = open_image(bytes, Some(&[key().public()])) {
            assert_eq!(opened, image());
        }
        let _ = open_image(bytes, None);
    });
}

#[test]
fn fuzz_manifest_of_a_release() {
    let text = serde_json::to_vec(&manifest()).expect("JSON");
    run(&[&text], |bytes| {
        // What is taken can be offered again.
        if let Ok(manifest) = Manifest::parse(bytes) {
            let text = serde_json::to_vec(&manifest).expect("JSON");
            assert_eq!(Manifest::parse(&text), Ok(manifest));
        }
    });
}

#[test]
fn fuzz_files_of_keys() {
    let public = key().public().to_pem();
    run(&[KEY, public.as_bytes()], |bytes| {
        let _ = SecretKey::parse(bytes);
        if let Ok(key) = PublicKey::parse(bytes) {
            assert_eq!(PublicKey::parse(key.to_pem().as_bytes()), Ok(key));
        }
    });
}
