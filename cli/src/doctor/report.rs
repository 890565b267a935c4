//! Findings for people and for programs.

use serde_json::json;

use super::finding::{Finding, Level};
use crate::options::OutputFormat;

/// Whether nothing is wrong.
pub(super) fn is_healthy(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.level != Level::Problem)
}

/// All findings, with a sum at the end.
pub(super) fn render(findings: &[Finding], format: OutputFormat) -> String {
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (problems, warnings, unknown) = (
        count(Level::Problem),
        count(Level::Warning),
        count(Level::Unknown),
    );
    match format {
        OutputFormat::Json => {
            let document = json!({
                "healthy": problems == 0, "problems": problems, "warnings": warnings, "unknown": unknown,
                "findings": findings,
            });
            format!("{document}\n")
        }
        OutputFormat::Text => {
            let mut text: String = findings.iter().map(paragraph).collect();
            text += &match (problems, warnings) {
                (0, 0) => "\nNothing is wrong.\n".to_owned(),
                (0, warnings) => format!("\nNothing is broken; {warnings} to look at.\n"),
                (problems, _) => format!("\n{problems} wrong, {warnings} to look at.\n"),
            };
            text
        }
    }
}

fn paragraph(finding: &Finding) -> String {
    let mut text = format!("{} {}\n", finding.level.mark(), finding.summary);
    let mut line = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            text += &format!("    {name:6} {value}\n");
        }
    };
    line("cause", &finding.cause);
    line("do", &finding.remedy);
    if matches!(finding.level, Level::Warning | Level::Problem) {
        text += &format!("    {:6} {}\n", "more", finding.page);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::good("kube-apiserver", "kube-apiserver answers"),
            Finding::problem("store", "the store isn't reached", "it is down", "start it"),
            Finding::unknown("clock", "the clock wasn't seen", "no date"),
        ]
    }

    #[test]
    fn people_read_marks_causes_and_what_to_do() {
        let text = render(&findings(), OutputFormat::Text);
        assert_eq!(
            text,
            "✓ kube-apiserver answers\n\
             ✗ the store isn't reached\n    cause  it is down\n    do     start it\n    more   docs/doctor.md#store\n\
             ? the clock wasn't seen\n    cause  no date\n\
             \n1 wrong, 0 to look at.\n"
        );
        assert!(!is_healthy(&findings()));
    }

    #[test]
    fn programs_read_one_document() {
        let text = render(&findings(), OutputFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["problems"], 1);
        assert_eq!(value["unknown"], 1);
        assert_eq!(value["findings"][1]["check"], "store");
        assert_eq!(value["findings"][1]["level"], "problem");
        assert_eq!(value["findings"][0]["cause"], serde_json::Value::Null);
    }
}
