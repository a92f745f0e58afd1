//! What makes no difference: a host that placement sees as it was, a reason that says the same.

use basalt_api::capacity::Capacity;

use super::Host;

impl Host {
    /// Whether placement decides the same for this host as for what it was: what its capacity says
    /// of what is taken, as of anything else that placement does not read, changes with every
    /// workload that starts.
    #[must_use]
    pub fn is_same_to_placement(&self, before: &Self) -> bool {
        self.as_read() == before.as_read()
    }

    fn as_read(&self) -> Self {
        let capacity = self.capacity.as_ref().map(|all| Capacity {
            cpus: all.cpus,
            memory_mib: all.memory_mib,
            devices: all.devices.clone(),
            ..Capacity::default()
        });
        Self { capacity, ..self.clone() }
    }
}

/// Whether two reasons say the same, but for numbers: how much is free changes all the time. What
/// stands in backquotes is a name and counts, also where it has digits.
#[must_use]
pub fn is_same_reason(one: &str, other: &str) -> bool {
    without_numbers(one) == without_numbers(other)
}

fn without_numbers(reason: &str) -> String {
    let mut is_name = false;
    let mut text = String::new();
    let mut last = ' ';
    for c in reason.chars() {
        is_name ^= c == '`';
        let is_of_a_number = c.is_ascii_digit() || (c == '.' && last.is_ascii_digit());
        if is_name || !is_of_a_number {
            text.push(c);
        }
        last = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use basalt_api::capacity::Taken;
    use basalt_api::id::HostId;
    use basalt_api::workload::Cpus;
    use uuid::Uuid;

    use super::*;
    use crate::placement::Closed;

    fn host() -> Host {
        let capacity = Capacity { cpus: Cpus::whole(4), memory_mib: 4096, ..Capacity::default() };
        Host {
            id: HostId(Uuid::from_u128(1)),
            name: "a".parse().unwrap(),
            labels: [("rack".to_owned(), "4".to_owned())].into(),
            features: vec!["container".to_owned()],
            capacity: Some(capacity),
            local: Taken::default(),
            closed: None,
        }
    }

    #[test]
    fn a_host_is_the_same_only_while_all_that_placement_reads_is() {
        let change = |change: fn(&mut Host)| {
            let mut after = host();
            change(&mut after);
            !after.is_same_to_placement(&host())
        };
        assert!(!change(|_| ()));
        let mut taken = host();
        taken.capacity.as_mut().unwrap().taken = Taken { cpus: Cpus::whole(3), memory_mib: 2048 };
        assert!(taken.is_same_to_placement(&host()), "what is taken is counted from the workloads");
        assert!(change(|host| host.closed = Some(Closed::Lost)));
        assert!(change(|host| host.labels.clear()));
        assert!(change(|host| host.features.clear()));
        assert!(change(|host| host.capacity = None));
        assert!(change(|host| host.capacity.as_mut().unwrap().memory_mib += 1));
        assert!(change(|host| host.capacity.as_mut().unwrap().cpus = Cpus::whole(5)));
        assert!(change(|host| host.capacity.as_mut().unwrap().devices = vec!["/dev/x".to_owned()]));
        assert!(change(|host| host.local.memory_mib = 1));
        assert!(change(|host| host.name = "b".parse().unwrap()));
    }

    #[test]
    fn a_reason_is_the_same_whatever_its_numbers() {
        let memory = "no host can run it: `a`: 512 MiB of memory are free, 1024 wanted";
        assert!(is_same_reason(memory, &memory.replace("512", "7")));
        let cpus = "no host can run it: `a`: 0.5 processors are free, 2 wanted; 3 more";
        assert!(is_same_reason(cpus, &cpus.replace("0.5", "1").replace("3 more", "12 more")));
        assert!(!is_same_reason(memory, cpus));
        assert!(!is_same_reason("`web-1`: it is lost", "`web-2`: it is lost"));
        assert!(!is_same_reason("`a`: it is lost", "`a`: it is cordoned"));
        assert!(!is_same_reason("it ends. 1", "it ends 1"));
    }
}
