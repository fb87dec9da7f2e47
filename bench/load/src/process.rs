//! What the server's process has used, from /proc.

use std::fs;

/// A moment of it.
pub struct Usage {
    /// CPU time of all its threads, in nanoseconds.
    pub cpu: u64,
    /// Resident memory in KiB.
    pub resident: u64,
}

/// Takes the sum over processes.
pub fn usage(pids: &[u32]) -> Result<Usage, String> {
    let mut sum = Usage { cpu: 0, resident: 0 };
    for pid in pids {
        let failed = |e| format!("process {pid} can't be looked at: {e}");
        for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(failed)? {
            // A thread may end meanwhile.
            let Ok(line) = fs::read_to_string(task.map_err(failed)?.path().join("schedstat")) else {
                continue;
            };
            sum.cpu += line.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(failed)?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        sum.resident += resident
            .and_then(|n| n.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .ok_or_else(|| format!("process {pid} shows no resident memory"))?;
    }
    Ok(sum)
}
