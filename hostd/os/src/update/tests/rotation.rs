//! Keys that follow one another: each release brings those that the next one may be signed by.

use super::*;

const KEYS: &str = "usr/share/basalt/keys";

/// Publishes a release in `archive`, signed by `by`, whose image trusts these.
fn publish(
    archive: &Publisher,
    version: &str,
    (manifest, commit): (&Publisher, &Publisher),
    trusts: &[&Publisher],
) -> Manifest {
    let files: Vec<(String, String)> = trusts
        .iter()
        .zip(1..)
        .flat_map(|(publisher, number)| {
            let asc = fs::read_to_string(publisher.at("keys/release.asc")).unwrap();
            let pem = publisher.manifests.public().to_pem();
            [("asc", asc), ("pem", pem)]
                .map(|(kind, text)| (format!("{KEYS}/release-{number}.{kind}"), text))
        })
        .collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let commit = archive.commit(version, &files, Some(&commit.commits));
    archive.offer_by(&manifest.manifests, version, &commit)
}

#[test]
fn a_new_key_comes_with_one_update_and_the_old_one_goes_with_the_next() {
    let (old, new) = (Publisher::new(), Publisher::new());
    let (by_old, by_new) = ((&old, &old), (&new, &new));
    let first = publish(&old, "1", by_old, &[&old]);
    let mut ground = HostGround::running(&old, &first);
    let takes = |ground: &mut HostGround, release: &Manifest| {
        assert_eq!(ground.update(&wanted(&old)).unwrap(), Offer::Another(release.clone()));
        assert_eq!(ground.boots_next(), release.commit);
        ground.reboots_well(&release.version);
    };
    let second = publish(&old, "2", by_old, &[&old, &new]);
    takes(&mut ground, &second);
    let third = publish(&old, "3", by_new, &[&new]);
    takes(&mut ground, &third);
    // The old one is nobody's any more, for manifests and for commits.
    publish(&old, "4", by_old, &[&old]);
    refused(ground.update(&wanted(&old)), "no trusted key signed the release manifest");
    publish(&old, "5", (&new, &old), &[&old]);
    refused(ground.update(&wanted(&old)), "public key not found");
    publish(&old, "6", (&old, &new), &[&old]);
    refused(ground.update(&wanted(&old)), "no trusted key signed the release manifest");
    let seventh = publish(&old, "7", by_new, &[&new]);
    takes(&mut ground, &seventh);
}

#[test]
fn a_host_that_missed_the_update_with_the_new_key_gets_it_by_name() {
    let (old, new) = (Publisher::new(), Publisher::new());
    let first = publish(&old, "1", (&old, &old), &[&old]);
    let mut ground = HostGround::running(&old, &first);
    publish(&old, "2", (&old, &old), &[&old, &new]);
    let third = publish(&old, "3", (&new, &new), &[&new]);
    refused(ground.update(&wanted(&old)), "no trusted key signed the release manifest");
    let by_name = Wanted { version: Some("2".into()), ..wanted(&old) };
    ground.update(&by_name).unwrap();
    ground.reboots_well("2");
    assert_eq!(ground.update(&wanted(&old)).unwrap(), Offer::Another(third));
}
