//! What `helium up` prints when everything is ready: where things are, and what to type next.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::options::OutputFormat;

/// Where everything is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// URL of the etcd v3 endpoint.
    pub etcd: String,
    /// The database, without its password.
    pub database: String,
    /// A kubeconfig with every cluster as a context.
    pub kubeconfig: PathBuf,
    /// The clusters, in the order in which they were named.
    pub clusters: Vec<ClusterReport>,
}

/// Where one cluster is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// The cluster's name, also its context.
    pub name: String,
    /// URL of its API server.
    pub server: String,
    /// A kubeconfig with this cluster alone.
    pub kubeconfig: PathBuf,
}

impl Report {
    /// The report as text or JSON, ending with a line break.
    pub(super) fn render(&self, format: OutputFormat, working_directory: &Path) -> String {
        match format {
            OutputFormat::Json => {
                // Only maps with text keys and text values: it can't fail to serialise.
                let text = serde_json::to_string(self).unwrap_or_default();
                format!("{text}\n")
            }
            OutputFormat::Text => self.text(working_directory),
        }
    }

    fn text(&self, working_directory: &Path) -> String {
        let short = |path: &Path| {
            path.strip_prefix(working_directory)
                .unwrap_or(path)
                .display()
                .to_string()
        };
        let plural = if self.clusters.len() == 1 {
            "cluster"
        } else {
            "clusters"
        };
        let mut text = format!(
            "\nHelium is up: {} {plural}, one shared control plane.\n\n",
            self.clusters.len()
        );
        let width = self
            .clusters
            .iter()
            .map(|cluster| cluster.name.len())
            .max()
            .unwrap_or(0);
        for cluster in &self.clusters {
            text += &format!(
                "  {:width$}  {}  {}\n",
                cluster.name,
                cluster.server,
                short(&cluster.kubeconfig)
            );
        }
        text += &format!("  {:width$}  {}\n", "etcd", self.etcd);
        text += &format!("  {:width$}  {}\n", "store", self.database);
        let first = &self.clusters[0].name;
        let last = &self.clusters[self.clusters.len() - 1].name;
        text += &format!(
            "\nWatch the last cluster in one terminal:\n\n  \
             export KUBECONFIG={kubeconfig}\n  \
             kubectl --context {first} apply -f manifests/examples/definitions.yaml\n  \
             kubectl --context {last} get festivals -A --watch\n\n\
             and write through the first in another:\n\n  \
             export KUBECONFIG={kubeconfig}\n  \
             kubectl --context {first} apply -f manifests/examples/festival.yaml\n\n\
             Ctrl-C stops it; the state stays.\n",
            kubeconfig = short(&self.kubeconfig),
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            etcd: "http://127.0.0.1:2379".to_owned(),
            database: "sqlite:///srv/data/state.db".to_owned(),
            kubeconfig: PathBuf::from("/srv/data/kubeconfig"),
            clusters: ["berlin", "tokyo"]
                .map(|name| ClusterReport {
                    name: name.to_owned(),
                    server: "https://127.0.0.1:7443".to_owned(),
                    kubeconfig: PathBuf::from(format!("/srv/data/{name}.kubeconfig")),
                })
                .to_vec(),
        }
    }

    #[test]
    fn text_shows_paths_relative_to_where_the_person_stands() {
        let text = report().render(OutputFormat::Text, Path::new("/srv"));
        assert!(
            text.contains("export KUBECONFIG=data/kubeconfig\n"),
            "{text}"
        );
        assert!(
            text.contains("  berlin  https://127.0.0.1:7443  data/berlin.kubeconfig\n"),
            "{text}"
        );
        assert!(text.contains("--context tokyo get festivals"), "{text}");
    }

    #[test]
    fn json_is_one_document_on_one_line() {
        let text = report().render(OutputFormat::Json, Path::new("/"));
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["clusters"][1]["name"], "tokyo");
        assert_eq!(value["kubeconfig"], "/srv/data/kubeconfig");
    }
}
