//! What a machine tells its guest by SMBIOS strings of type 11: credentials and kernel arguments.

/// A credential as systemd reads it (systemd.system-credentials(7)).
pub(crate) fn credential(name: &str, text: &str) -> String {
    format!("io.systemd.credential.binary:{name}={}", base64(text.as_bytes()))
}

/// Further kernel arguments, as systemd-boot and systemd-stub read them (smbios-type-11(7)).
pub(crate) fn kernel_arguments(arguments: &[String]) -> String {
    format!("io.systemd.boot.kernel-cmdline-extra={}", arguments.join(" "))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |group: u32, place: u32| {
        let index = group >> (18 - 6 * place) & 63;
        ALPHABET.get(index as usize).copied().map_or('=', char::from)
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.push(digit(group, 0));
        text.push(digit(group, 1));
        text.push(if chunk.len() > 1 { digit(group, 2) } else { '=' });
        text.push(if chunk.len() > 2 { digit(group, 3) } else { '=' });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_gives_the_vectors_of_its_rfc() {
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn a_credential_may_hold_any_text() {
        assert_eq!(credential("a.b", "x,y\n"), "io.systemd.credential.binary:a.b=eCx5Cg==");
    }

    #[test]
    fn kernel_arguments_are_joined() {
        assert_eq!(
            kernel_arguments(&["a=1".to_owned(), "b".to_owned()]),
            "io.systemd.boot.kernel-cmdline-extra=a=1 b"
        );
    }
}
