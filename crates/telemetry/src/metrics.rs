//! The text exposition of a registry, and facts about the process.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// The content type of [`encode`]'s answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry in the text format that Prometheus scrapes.
pub fn encode(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::with_capacity(16 * 1024);
    text::encode(&mut text, registry)?;
    Ok(text)
}

/// Registers `process_*` facts, read at each scrape.
pub fn register_process(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(facts) = Facts::read() else {
            // Not Linux, or /proc isn't mounted: say nothing rather than something wrong.
            return Ok(());
        };
        let cpu = ConstCounter::new(facts.cpu_seconds);
        let metric = encoder.encode_descriptor(
            "process_cpu",
            "CPU time spent in user and system mode",
            Some(&Unit::Seconds),
            cpu.metric_type(),
        )?;
        cpu.encode(metric)?;
        for (name, help, value, unit) in [
            (
                "process_resident_memory",
                "resident memory",
                facts.resident_bytes,
                Some(Unit::Bytes),
            ),
            (
                "process_virtual_memory",
                "virtual memory",
                facts.virtual_bytes,
                Some(Unit::Bytes),
            ),
            (
                "process_open_fds",
                "open file descriptors",
                facts.open_files,
                None,
            ),
            ("process_threads", "threads", facts.threads, None),
        ] {
            let gauge = ConstGauge::new(value);
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}

struct Facts {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    open_files: i64,
    threads: i64,
}

/// The kernel reports CPU time in hundredths of a second on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: i64 = 4096;

impl Facts {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name may hold spaces and brackets: count fields after the last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |index: usize| fields.get(index)?.parse::<i64>().ok();
        let ticks = u32::try_from(field(11)?.checked_add(field(12)?)?).ok()?;
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self {
            cpu_seconds: f64::from(ticks) / TICKS_PER_SECOND,
            threads: field(17)?,
            virtual_bytes: field(20)?,
            resident_bytes: field(21)?.checked_mul(PAGE_BYTES)?,
            open_files: i64::try_from(open_files).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_facts_are_exposed_under_their_usual_names() {
        let mut registry = Registry::default();
        register_process(&mut registry);
        let text = encode(&registry).expect("encoded");
        for name in [
            "process_cpu_seconds_total ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name} is missing in\n{text}"));
            assert!(value.parse::<f64>().expect("a number") >= 0.0);
        }
    }
}
