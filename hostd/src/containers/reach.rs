//! Whether an engine is sent to a registry: not to this host itself nor to what only its own link
//! has, unless its operator names the registry, in `[registries]` or `[policy] url_allow`.
//!
//! That is looked at before the engine is asked. What the engine then does is its own: it resolves
//! the name anew, goes by its own mirrors and proxies, and follows redirects and the addresses of
//! token servers that a registry names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hostd_core::reach;

use super::Containers;
use super::image::Reference;
use super::spec::refuse;
use crate::runtime::RuntimeError;

/// How long a name may take to resolve. Where it does not, the engine says why.
const PATIENCE: Duration = Duration::from_secs(10);
const HTTPS: u16 = 443;

impl Containers {
    /// # Errors
    /// The registry is at an address that nothing is fetched from.
    pub(super) async fn may_reach(&self, image: &Reference) -> Result<(), RuntimeError> {
        let registry = &image.registry;
        let (host, port) = split(registry);
        let is_named = self.settings.registries.get(registry).is_some()
            || reach::names(&self.settings.url_allow, host, port);
        if is_named {
            return Ok(());
        }
        let own: Vec<IpAddr> = if_addrs::get_if_addrs()
            .unwrap_or_default()
            .iter()
            .map(if_addrs::Interface::ip)
            .collect();
        for address in resolve(host, port).await {
            if let Some(why) = reach::refusal(address.ip(), &own) {
                let ip = address.ip();
                return Err(refuse(format!(
                    "nothing is fetched from `{registry}`: {ip} {why} (hostd.toml: \
                     [policy] url_allow = [\"{registry}\"])"
                )));
            }
        }
        Ok(())
    }
}

async fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    if let Ok(ip) = host.parse() {
        return vec![SocketAddr::new(ip, port)];
    }
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

fn split(registry: &str) -> (&str, u16) {
    let with_port = registry.rsplit_once(':').map(|(host, port)| (host, port.parse()));
    let (host, port) = match with_port {
        Some((host, Ok(port))) => (host, port),
        _ => (registry, HTTPS),
    };
    (host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::registries::{Registries, Registry};

    async fn check(settings: Settings, image: &str, expected: Option<&str>) {
        let reached = Containers::new(settings).may_reach(&Reference::parse(image)).await;
        match expected {
            None => assert!(reached.is_ok(), "{image}: {reached:?}"),
            Some(why) => {
                let told = reached.unwrap_err().message;
                assert!(told.contains(why), "{image}: {told}");
            }
        }
    }

    fn settings() -> Settings {
        Settings::new("/nowhere", Registries::default())
    }

    #[tokio::test]
    async fn a_registry_on_the_host_itself_or_its_link_is_refused() {
        check(settings(), "127.0.0.1:8080/x", Some("127.0.0.1 is this host itself")).await;
        check(settings(), "localhost/x", Some("is this host itself")).await;
        check(settings(), "[::1]:5000/x", Some("is this host itself")).await;
        check(settings(), "169.254.169.254/x", Some("is of this host's own link only")).await;
        check(settings(), "192.0.2.1/x", None).await;
        check(settings(), "nowhere.invalid/x", None).await;
    }

    #[tokio::test]
    async fn one_that_the_operator_names_is_reached_wherever_it_is() {
        let url_allow = vec!["127.0.0.1:8080".to_owned()];
        let allowed = Settings { url_allow, ..settings() };
        check(allowed.clone(), "127.0.0.1:8080/x", None).await;
        check(allowed, "127.0.0.1:8081/x", Some("is this host itself")).await;
        let mut registries = Registries::default();
        registries.insert("localhost:5000", Registry::default());
        check(Settings { registries, ..settings() }, "localhost:5000/x", None).await;
    }
}
