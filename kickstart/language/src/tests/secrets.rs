//! No secret is anywhere but where it is asked for.

use super::read;

const CANARY: &str = "canary-hunter2";

/// Everything that may be shown of a text with the canary in it.
fn shown(text: &str) -> String {
    let parsed = read(&text.replace("SECRET", CANARY));
    let errors: String =
        parsed.diagnostics.iter().map(|it| it.mistake(&parsed.sources).to_string()).collect();
    let json = serde_json::to_string(&parsed.kickstart).unwrap();
    format!("{parsed:?}\n{errors}\n{json}")
}

#[test]
fn no_password_is_in_an_error_in_json_or_in_a_debug_print() {
    for text in [
        "rootpw SECRET",
        "rootpw --plaintext SECRET extra",
        "rootpw --iscrypted SECRET",
        "rootpw --iscrypted $6$SECRET$x",
        "rootpw --plaintex SECRET",
        "rootpw --unknown=SECRET",
        "rootpw 'SECRET",
        "rootpass SECRET",
        "user --name=a --password=SECRET --x",
        "user --name=a --password SECRET --iscrypted",
        "user --name=a --pasword=SECRET",
        "sshpw --username=root SECRET",
        "autopart --passphrase=SECRET",
        "part / --size=1 --passphrase SECRET",
        "network --device=a --wpakey=SECRET --essid=x",
        "bootloader --password=SECRET",
        "bootloader --append='basalt.join=SECRET'",
        "vnc --password=SECRET",
        "rhsm --organization=1 --activation-key=SECRET",
        "ostreesetup --osname=a --ref=b --url=https://me:SECRET@x/",
        "updates https://me:SECRET@x/",
        "%post\necho SECRET\n%end",
        "%post --x\necho SECRET\n%end",
        "%addon basalt\ntoken = SECRET\n%end",
        "%addon basalt\njoin = basalt1.SECRET\nx\n%end",
        "%addon basalt\nendpoint = https://me:SECRET@x\n%end",
        "%addon basalt\ntokne = SECRET\n%end",
    ] {
        let shown = shown(text);
        assert!(!shown.contains(CANARY), "{text}: {shown}");
    }
    // What is only nearly called a secret is none.
    assert!(shown("auth --passalgo=SECRET").contains(CANARY));
    assert!(shown("%addon basalt\nlable = x=SECRET\n%end").contains(CANARY));
    // It would be seen.
    assert!(shown("lang SECRET").contains(CANARY));
}

#[test]
fn who_asks_for_a_secret_gets_it() {
    let parsed = read("rootpw --iscrypted '$6$a$b'\nautopart --noswap");
    let password = &parsed.kickstart.rootpw.as_ref().unwrap().password;
    let crate::model::Password::Crypted(secret) = password.as_ref().unwrap() else { panic!() };
    assert_eq!(secret.reveal(), "$6$a$b");
}
