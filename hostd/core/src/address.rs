//! Which of a machine's addresses are the host's own.

use basalt_api::status::Address;

/// How the interfaces of containers and guests begin: libvirt, netavark, CNI, Docker.
const NOT_OURS: [&str; 7] = ["virbr", "vnet", "podman", "veth", "cni", "docker", "br-"];

/// The host's own addresses, sorted, without those of bridges for containers and guests.
#[must_use]
pub fn own(mut all: Vec<Address>) -> Vec<Address> {
    all.retain(|address| {
        let is_link_local = address.address.starts_with("fe80:");
        !is_link_local && !NOT_OURS.iter().any(|start| address.interface.starts_with(start))
    });
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(all: &[(&str, &str)], expected: &[&str]) {
        let address = |(interface, address): &(&str, &str)| Address {
            interface: (*interface).to_owned(),
            address: (*address).to_owned(),
        };
        let own = own(all.iter().map(address).collect());
        let own: Vec<&str> = own.iter().map(|address| address.address.as_str()).collect();
        assert_eq!(own, expected);
    }

    #[test]
    fn bridges_of_guests_and_link_local_addresses_are_left_out() {
        let all = [("virbr0", "192.168.122.1"), ("ens3", "fe80::1"), ("ens3", "10.0.2.15")];
        check(&all, &["10.0.2.15"]);
    }

    #[test]
    fn a_bond_of_the_hosts_own_is_kept() {
        check(&[("bond0", "192.0.2.7"), ("bond0", "192.0.2.7")], &["192.0.2.7"]);
    }
}
