//! How many connections there may be: all together, of one address whose owner is not known, and of
//! one host.
//!
//! A connection has a place of its address until its certificate names a host, and a place of that
//! host from then on: hosts behind one address do not stand in each other's way for long, and
//! whoever can only connect leaves room for all others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use basalt_api::id::HostId;

/// Connections of one host at once. It polls by one or two, fetches secrets by one and sends each
/// log by one.
const OF_HOST: usize = 32;
/// One address has at most this part of all places for whoever is not known, ...
const PART_OF_ADDRESS: usize = 4;
/// ... and this many at least.
const OF_ADDRESS: usize = 8;

/// All places.
#[derive(Debug)]
pub struct Places {
    limit: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    addresses: HashMap<IpAddr, usize>,
    hosts: HashMap<HostId, usize>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    whose: Whose,
}

#[derive(Debug, Clone, Copy)]
enum Whose {
    Address(IpAddr),
    Host(HostId),
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There are as many as there may be.
    #[error("too many connections")]
    All,
    /// One address has as many as it may.
    #[error("too many connections from one address")]
    Address,
    /// One host has as many as it may.
    #[error("too many connections of one host")]
    Host,
}

impl Places {
    /// So many places.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default() })
    }

    /// A place for a connection from there.
    ///
    /// # Errors
    /// There is none.
    pub fn take(self: &Arc<Self>, from: IpAddr) -> Result<Place, Full> {
        let from = site(from);
        let of_address = (self.limit / PART_OF_ADDRESS).max(OF_ADDRESS);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.limit {
            return Err(Full::All);
        }
        if !add(&mut taken.addresses, from, of_address) {
            return Err(Full::Address);
        }
        taken.all += 1;
        Ok(Place { places: Arc::clone(self), whose: Whose::Address(from) })
    }
}

impl Place {
    /// The connection turned out to be this host's.
    ///
    /// # Errors
    /// The host has as many as it may.
    pub fn hand_to(&mut self, host: HostId) -> Result<(), Full> {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if !add(&mut taken.hosts, host, OF_HOST) {
            return Err(Full::Host);
        }
        taken.give_back(self.whose);
        self.whose = Whose::Host(host);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.give_back(self.whose);
        taken.all -= 1;
    }
}

impl Taken {
    fn give_back(&mut self, whose: Whose) {
        match whose {
            Whose::Address(address) => remove(&mut self.addresses, address),
            Whose::Host(host) => remove(&mut self.hosts, host),
        }
    }
}

/// One more of these, where there are fewer than so many.
fn add<K: Hash + Eq>(counts: &mut HashMap<K, usize>, of: K, limit: usize) -> bool {
    let count = counts.entry(of).or_default();
    let has_room = *count < limit;
    *count += usize::from(has_room);
    has_room
}

/// One less of these; what there is none of is forgotten.
fn remove<K: Hash + Eq>(counts: &mut HashMap<K, usize>, of: K) {
    if let Entry::Occupied(mut count) = counts.entry(of) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// Whoever has one IPv6 address has its whole /64 (RFC 6177 gives a site no less).
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host(number: u128) -> HostId {
        HostId(Uuid::from_u128(number))
    }

    /// How many places these addresses get, one after the other and over again, of forty.
    fn check(addresses: &[&str], expected: usize) {
        let places = Places::new(40);
        let asked = addresses.iter().cycle().take(99);
        let got: Vec<Place> = asked.filter_map(|from| places.take(address(from)).ok()).collect();
        assert_eq!(got.len(), expected);
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        check(&["10.0.0.1"], 10);
        check(&["10.0.0.1", "10.0.0.2"], 20);
        check(&["10.0.0.1", "::ffff:10.0.0.1"], 10);
        check(&["fd00::1", "fd00::2", "fd00::ffff:0:0:3"], 10);
        check(&["fd00::1", "fd00:0:0:1::1"], 20);
        check(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"], 40);
    }

    #[test]
    fn a_host_has_places_of_its_own_and_no_more_than_a_few() {
        let places = Places::new(400);
        let of = |number| {
            let mut place = places.take(address("10.0.0.1")).unwrap();
            place.hand_to(host(number)).map(|()| place)
        };
        let first: Vec<Place> = std::iter::from_fn(|| of(1).ok()).collect();
        assert_eq!(first.len(), OF_HOST);
        assert_eq!(of(1).unwrap_err(), Full::Host);
        assert!(of(2).is_ok(), "another host from the same address");
        // All of them are known, so the address has all of its places.
        let strangers: Vec<Place> =
            std::iter::from_fn(|| places.take(address("10.0.0.1")).ok()).collect();
        assert_eq!(strangers.len(), 100);
    }

    #[test]
    fn a_place_is_given_back_and_nothing_of_it_is_kept() {
        let places = Places::new(9);
        for number in 0..100 {
            let mut place = places.take(address("10.0.0.1")).unwrap();
            place.hand_to(host(number)).unwrap();
            drop(place);
            drop(places.take(address("fd00::1")).unwrap());
        }
        let all: Vec<Place> = ["10.0.0.1", "10.0.0.2"]
            .map(address)
            .iter()
            .cycle()
            .map_while(|from| places.take(*from).ok())
            .collect();
        assert_eq!(all.len(), 9);
        assert_eq!(places.take(address("10.0.0.3")).unwrap_err(), Full::All);
        drop(all);
        let taken = places.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.addresses.is_empty() && taken.hosts.is_empty());
    }
}
