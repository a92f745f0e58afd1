//! A workload becomes what an engine is asked to make. Pure.
//!
//! Engines join some of these fields with `:` or `,` again, so a path with one of them could say
//! more than it does: such paths are refused here.

use std::collections::HashMap;

use basalt_api::id::WorkloadUid;
use basalt_api::workload::{Body, Container, Cpus, Device, Network, Port, Resources, Volume};
use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, HostConfigLogConfig, Mount, MountType, PortMap,
    RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
};

use super::image::Reference;
use super::{labels, secrets};
use crate::runtime::{Failure, Make, RuntimeError};

/// What is kept of a container's output: two files of 16 MiB, so that no log fills a disk.
const LOG_SIZE: &str = "16m";
const LOG_FILES: &str = "2";
/// Microseconds in which a share of a processor is counted (the kernel's default), and those for
/// shares so small that they would come to less than the millisecond that the kernel takes.
const CPU_PERIOD: i64 = 100_000;
const LONG_CPU_PERIOD: i64 = 1_000_000;

/// What has to be there for a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// The name of the container.
    pub(super) name: String,
    pub(super) image: Reference,
    /// What the engine is asked.
    pub(super) body: ContainerCreateBody,
    /// Volumes that are made before it.
    pub(super) volumes: Vec<VolumeCreateRequest>,
    /// Secrets that it reads as files.
    pub(super) files: Vec<secrets::SecretFile>,
}

/// What the engine shall make of a workload.
///
/// # Errors
/// No engine can make it as it is.
pub(super) fn wanted(make: &Make) -> Result<Wanted, RuntimeError> {
    let spec = &make.assigned.spec;
    let Some(Body::Container(container)) = spec.body() else {
        return Err(refuse(format!("`{}` is no container", spec.name)));
    };
    let files = secrets::files(make, container)?;
    let image = Reference::parse(&container.image);
    let has_own_network = container.network != Network::Host;
    let body = ContainerCreateBody {
        hostname: has_own_network.then(|| spec.name.to_string()),
        user: container.user.clone(),
        exposed_ports: some(container.ports.iter().map(inner_port).collect()),
        env: some(environment(make, container)?),
        cmd: some(container.command.clone()),
        image: Some(image.full()),
        working_dir: container.working_dir.clone(),
        entrypoint: some(container.entrypoint.clone()),
        labels: Some(labels::of_container(make, !files.is_empty())),
        host_config: Some(HostConfig {
            mounts: some(mounts(make, container, &files)?),
            devices: some(devices(&container.devices)?),
            ..host_config(container, &spec.resources)
        }),
        ..ContainerCreateBody::default()
    };
    Ok(Wanted {
        name: labels::container_name(&spec.name, make.assigned.uid),
        image,
        body,
        volumes: volumes(make, container),
        files,
    })
}

/// Something that no engine could make.
pub(super) fn refuse(message: impl Into<String>) -> RuntimeError {
    RuntimeError { kind: Failure::Workload, message: message.into() }
}

/// What says nothing is left out, so that the image's own value counts.
fn some<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

fn host_config(container: &Container, resources: &Resources) -> HostConfig {
    let (cpu_period, cpu_quota) = resources.cpus.map(processor_share).unzip();
    let memory = resources.memory_mib.map(bytes);
    HostConfig {
        cpu_period,
        cpu_quota,
        memory,
        // Memory and swap together: nothing beyond the memory.
        memory_swap: memory,
        pids_limit: container.pids_limit.map(i64::from),
        network_mode: Some(container.network.as_str().to_owned()),
        port_bindings: (!container.ports.is_empty()).then(|| port_map(&container.ports)),
        readonly_rootfs: container.read_only.then_some(true),
        privileged: container.privileged.then_some(true),
        // What follows an end is hostd's to say.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_FILES.to_owned()),
            ])),
        }),
        ..HostConfig::default()
    }
}

/// Microseconds of a period, and how many of them it may run.
fn processor_share(cpus: Cpus) -> (i64, i64) {
    let milli = i64::from(cpus.milli());
    let period = if milli < 10 { LONG_CPU_PERIOD } else { CPU_PERIOD };
    (period, period / 1000 * milli)
}

fn bytes(mib: u64) -> i64 {
    i64::try_from(mib.saturating_mul(1 << 20)).unwrap_or(i64::MAX)
}

fn environment(make: &Make, container: &Container) -> Result<Vec<String>, RuntimeError> {
    let plain = container.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let mut all: Vec<String> = plain.collect();
    all.extend(secrets::variables(make, container)?);
    Ok(all)
}

fn inner_port(port: &Port) -> String {
    format!("{}/{}", port.container, port.protocol.as_str())
}

fn port_map(ports: &[Port]) -> PortMap {
    let mut map = PortMap::new();
    for port in ports {
        let binding = bollard::models::PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            host_port: Some(port.host.to_string()),
        };
        map.entry(inner_port(port)).or_default().get_or_insert_default().push(binding);
    }
    map
}

fn mounts(
    make: &Make,
    container: &Container,
    files: &[secrets::SecretFile],
) -> Result<Vec<Mount>, RuntimeError> {
    let mut all = Vec::new();
    for volume in &container.volumes {
        let (typ, source) = match (&volume.name, &volume.host) {
            (Some(name), _) => (MountType::VOLUME, volume_name(make, name.as_str())),
            (None, Some(host)) => (MountType::BIND, host.clone()),
            (None, None) => {
                return Err(refuse(format!("nothing says what `{}` is", volume.path)));
            }
        };
        all.push(mount(typ, &source, &volume.path, volume.read_only)?);
    }
    for file in files {
        let source = make.private.join(file.name.as_str()).display().to_string();
        all.push(mount(MountType::BIND, &source, &file.path, true)?);
    }
    Ok(all)
}

fn mount(
    typ: MountType,
    source: &str,
    target: &str,
    read_only: bool,
) -> Result<Mount, RuntimeError> {
    Ok(Mount {
        typ: Some(typ),
        source: Some(plain_path(source)?),
        target: Some(plain_path(target)?),
        read_only: read_only.then_some(true),
        ..Mount::default()
    })
}

fn devices(devices: &[Device]) -> Result<Vec<DeviceMapping>, RuntimeError> {
    let mapping = |device: &Device| {
        let inner = device.path.as_ref().unwrap_or(&device.host);
        Ok(DeviceMapping {
            path_on_host: Some(plain_path(&device.host)?),
            path_in_container: Some(plain_path(inner)?),
            cgroup_permissions: Some("rwm".to_owned()),
        })
    };
    devices.iter().map(mapping).collect()
}

fn plain_path(path: &str) -> Result<String, RuntimeError> {
    if path.contains([':', ',', '"']) {
        return Err(refuse(format!("`{path}`: container engines take no `:`, `,` and `\"` here")));
    }
    Ok(path.to_owned())
}

fn volumes(make: &Make, container: &Container) -> Vec<VolumeCreateRequest> {
    let named = container.volumes.iter().filter_map(|volume: &Volume| volume.name.as_ref());
    let request = |name: &basalt_api::id::Name| VolumeCreateRequest {
        name: Some(volume_name(make, name.as_str())),
        labels: Some(labels::of_volume(make)),
        ..VolumeCreateRequest::default()
    };
    named.map(request).collect()
}

/// How the names of a workload's volumes begin.
pub(super) fn volumes_of(uid: WorkloadUid) -> String {
    format!("basalt-{uid}-")
}

fn volume_name(make: &Make, name: &str) -> String {
    format!("{}{name}", volumes_of(make.assigned.uid))
}

#[cfg(test)]
mod tests;
