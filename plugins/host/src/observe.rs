//! One look at the machine. The calls block.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use sereno_model::SeriesKey;
use sereno_plugin::PluginError;
use sysinfo::{
    Disk, DiskRefreshKind, Disks, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System,
    get_current_pid,
};

/// The shortest span over which processor usage can be measured.
pub(crate) const SPAN_MIN: Duration = sysinfo::MINIMUM_CPU_UPDATE_INTERVAL;

/// Remembers the previous look, from which usage is measured.
pub(crate) struct Observer {
    system: System,
    disks: Disks,
    networks: Networks,
    pid: Pid,
}

/// Names and values of one look. A name that cannot be one (a mount point with a newline) is left out.
#[derive(Default)]
struct Values(Vec<(SeriesKey, f64)>);

impl Observer {
    /// Takes the first look, for the differences.
    pub(crate) fn new() -> Result<Self, PluginError> {
        let failed =
            |error: sysinfo::Error| PluginError::new(format!("failed to watch this system: {error}"));
        let mut observer = Self {
            system: System::new().map_err(failed)?,
            disks: Disks::new().map_err(failed)?,
            networks: Networks::new().map_err(failed)?,
            pid: get_current_pid().map_err(failed)?,
        };
        observer.refresh();
        Ok(observer)
    }

    pub(crate) fn observe(&mut self) -> Vec<(SeriesKey, f64)> {
        self.refresh();
        let mut values = Values::default();
        self.processor(&mut values);
        self.memory(&mut values);
        self.disks(&mut values);
        self.networks(&mut values);
        self.process(&mut values);
        values.0
    }

    fn refresh(&mut self) {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        let process = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[self.pid]), true, process);
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing());
        self.networks.refresh(true);
    }

    fn processor(&self, values: &mut Values) {
        values.add("host.cpu.usage", f64::from(self.system.global_cpu_usage()).clamp(0.0, 100.0));
        if let Ok(load) = System::load_average() {
            values.add("host.load.1m", load.one);
            values.add("host.load.5m", load.five);
            values.add("host.load.15m", load.fifteen);
        }
    }

    fn memory(&self, values: &mut Values) {
        let (total, used) = (self.system.total_memory(), self.system.used_memory());
        values.add("host.memory.total", total as f64);
        values.add("host.memory.used", used as f64);
        values.add("host.memory.usage", percent(used, total));
        let (total, used) = (self.system.total_swap(), self.system.used_swap());
        values.add("host.swap.total", total as f64);
        values.add("host.swap.used", used as f64);
        values.add("host.swap.usage", percent(used, total));
    }

    fn disks(&self, values: &mut Values) {
        for (mount, space) in distinct(&self.disks) {
            let mount = mount.to_string_lossy();
            values.add_labelled("host.disk.total", "mount", &mount, space.total as f64);
            values.add_labelled("host.disk.free", "mount", &mount, space.free as f64);
            values.add_labelled("host.disk.usage", "mount", &mount, space.usage());
        }
    }

    fn networks(&self, values: &mut Values) {
        for (interface, data) in &self.networks {
            let interface = interface.to_string_lossy();
            if !interface.starts_with("veth") {
                let (received, sent) = (data.total_received(), data.total_transmitted());
                values.add_labelled("host.network.received", "interface", &interface, received as f64);
                values.add_labelled("host.network.sent", "interface", &interface, sent as f64);
            }
        }
    }

    fn process(&self, values: &mut Values) {
        if let Some(process) = self.system.process(self.pid) {
            values.add("sereno.process.cpu", f64::from(process.cpu_usage()));
            values.add("sereno.process.memory", process.memory() as f64);
        }
    }
}

impl Values {
    fn add(&mut self, name: &str, value: f64) {
        self.0.extend(SeriesKey::from_name(name).ok().map(|key| (key, value)));
    }

    fn add_labelled(&mut self, name: &str, label: &str, of: &str, value: f64) {
        self.0.extend(SeriesKey::new(name, [(label, of)]).ok().map(|key| (key, value)));
    }
}

/// Bytes of a file system.
#[derive(Clone, Copy)]
struct Space {
    total: u64,
    used: u64,
    free: u64,
}

impl Space {
    /// `None` for what is no disk: no answer, no size, or a single file mounted into a container.
    fn of(mount: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(mount).ok().filter(|stat| stat.f_blocks > 0 && mount.is_dir())?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
        Some(Self { total: bytes(stat.f_blocks), used, free: bytes(stat.f_bavail) })
    }

    /// As `df` counts: what the system keeps for itself belongs to neither side.
    fn usage(self) -> f64 {
        percent(self.used, self.used.saturating_add(self.free))
    }
}

/// Each disk once, under its shortest mount point.
fn distinct(disks: &[Disk]) -> impl Iterator<Item = (&Path, Space)> {
    let mut by_device: BTreeMap<&OsStr, (&Path, Space)> = BTreeMap::new();
    for disk in disks {
        let mount = disk.mount_point();
        let Some(space) = Space::of(mount) else { continue };
        let seen = by_device.entry(disk.name()).or_insert((mount, space));
        if mount.as_os_str().len() < seen.0.as_os_str().len() {
            *seen = (mount, space);
        }
    }
    by_device.into_values()
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_series_appears_once_and_disks_add_up() {
        let mut observer = Observer::new().unwrap();
        let values: BTreeMap<String, f64> =
            observer.observe().into_iter().map(|(key, value)| (key.to_string(), value)).collect();
        assert_eq!(values.len(), observer.observe().len());
        for (name, total) in values.iter().filter(|(name, _)| name.starts_with("host.disk.total")) {
            let (free, usage) =
                (values[&name.replace("total", "free")], values[&name.replace("total", "usage")]);
            assert!(free <= *total && (0.0..=100.0).contains(&usage), "{name}: {free} of {total}, {usage} %");
        }
    }

    #[test]
    fn usage_is_what_df_says() {
        let space = Space { total: 1_000, used: 150, free: 600 };
        assert_eq!(space.usage(), 20.0);
        assert!(Space::of(Path::new("/proc/self/status")).is_none(), "a file is no disk");
    }
}
