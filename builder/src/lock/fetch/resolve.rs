//! Looks a mirror's address up once for a whole fetch.
//!
//! `ureq` looks a name up for every request, also where it has an open connection. A build asks for
//! hundreds of packages, and each answer that a name server loses costs the resolver's 5 s.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A resolver that keeps what it found for as long as it lives. What it could not find is asked
/// for again.
#[derive(Debug)]
pub(super) struct Remembering<R = DefaultResolver> {
    inner: R,
    /// By scheme and authority, for the port belongs to an address.
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl<R> Remembering<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, known: Mutex::default() }
    }
}

impl<R: Resolver> Resolver for Remembering<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return self.inner.resolve(uri, config, timeout);
        };
        let key = format!("{scheme}://{authority}");
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            let mut addresses = self.empty();
            known.iter().for_each(|address| addresses.push(*address));
            return Ok(addresses);
        }
        // Not under the lock: a name that cannot be found holds up only those who ask for it.
        let found = self.inner.resolve(uri, config, timeout)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.to_vec());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how often it is asked, and does not find the first name that it is asked for.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Resolver for Counting {
        fn resolve(
            &self,
            uri: &Uri,
            _: &Config,
            _: NextTimeout,
        ) -> Result<ResolvedSocketAddrs, ureq::Error> {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(ureq::Error::HostNotFound);
            }
            let mut found = self.empty();
            found.push(SocketAddr::from(([192, 0, 2, 1], uri.port_u16().unwrap_or(80))));
            Ok(found)
        }
    }

    #[test]
    fn a_name_is_looked_up_until_it_is_found_and_then_never_again() {
        let resolver = Remembering::new(Counting::default());
        let ask = |uri: &'static str| {
            let timeout = NextTimeout::default();
            resolver.resolve(&Uri::from_static(uri), &Config::default(), timeout)
        };
        ask("http://mirror/a").unwrap_err();
        for path in ["http://mirror/a", "http://mirror/b", "http://mirror/c"] {
            assert_eq!(ask(path).unwrap().to_vec(), [SocketAddr::from(([192, 0, 2, 1], 80))]);
        }
        assert_eq!(resolver.inner.0.load(Ordering::Relaxed), 2);
        assert_eq!(ask("http://mirror:8080/a").unwrap()[0].port(), 8080);
        assert_eq!(resolver.inner.0.load(Ordering::Relaxed), 3);
    }
}
