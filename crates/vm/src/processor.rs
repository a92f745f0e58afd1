//! The processor time that a machine takes.

use std::fs;
use std::path::PathBuf;

use crate::VmError;

/// Ticks in a second of the processor times in `/proc`: Linux shows them in this unit to every
/// program, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// What counts the processor time of QEMU; works from any thread, while another waits.
#[derive(Debug, Clone)]
pub struct Processor {
    stat: PathBuf,
}

impl Processor {
    pub(crate) fn new(process_id: u32) -> Self {
        Self { stat: PathBuf::from(format!("/proc/{process_id}/stat")) }
    }

    /// Processor seconds since the machine was switched on; steadier than time on a busy host.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn seconds(&self) -> Result<f64, VmError> {
        let stat = fs::read_to_string(&self.stat).map_err(VmError::file("read", &self.stat))?;
        Ok(ticks(&stat).unwrap_or_default() / TICKS_PER_SECOND)
    }
}

/// User and system time in `/proc/PID/stat` (proc_pid_stat(5), fields 14 and 15), in ticks.
fn ticks(stat: &str) -> Option<f64> {
    // The second field is the program's name, which may hold blanks and brackets.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<f64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_program_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("42"), None);
    }
}
