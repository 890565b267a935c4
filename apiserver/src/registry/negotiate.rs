//! What the client wants to get: encoding and form of the answer.

use helium_apimachinery::Status;
use helium_apimachinery::options::Query;
use helium_apimachinery::table::IncludeObject;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Yaml,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The object or list itself.
    Object,
    /// A `Table` of this `apiVersion`.
    Table(&'static str, IncludeObject),
    /// `PartialObjectMetadata` of this `apiVersion`.
    PartialMetadata(&'static str),
}

/// The answer's encoding and form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) encoding: Encoding,
    pub(super) form: Form,
}

impl Output {
    pub(super) const JSON: Self = Self {
        encoding: Encoding::Json,
        form: Form::Object,
    };
}

/// The media types that can be produced, as a 406 lists them.
const OFFERED: [&str; 2] = ["application/json", "application/yaml"];

/// One entry of an `Accept` header.
#[derive(Debug, Default)]
struct Clause<'a> {
    media: &'a str,
    quality: f32,
    convert: Option<&'a str>,
    group: Option<&'a str>,
    version: Option<&'a str>,
}

/// Picks the best of what is accepted. A watch is always a stream of JSON.
pub(super) fn negotiate(accept: &str, query: &Query, watch: bool) -> Result<Output, Status> {
    if accept.trim().is_empty() {
        return Ok(Output::JSON);
    }
    let mut clauses: Vec<_> = accept.split(',').map(parse_clause).collect();
    // Stable: among equals the order of the header decides.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    for clause in clauses.iter().filter(|clause| clause.quality > 0.0) {
        let encoding = match clause.media {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" if !watch => Encoding::Yaml,
            _ => continue,
        };
        if let Some(form) = form(clause, query)? {
            return Ok(Output { encoding, form });
        }
    }
    Err(Status::not_acceptable(&OFFERED))
}

fn form(clause: &Clause<'_>, query: &Query) -> Result<Option<Form>, Status> {
    let Some(convert) = clause.convert else {
        return Ok(Some(Form::Object));
    };
    let api_version = match (clause.group, clause.version) {
        (Some("meta.k8s.io"), Some("v1")) => "meta.k8s.io/v1",
        (Some("meta.k8s.io"), Some("v1beta1")) => "meta.k8s.io/v1beta1",
        _ => return Ok(None),
    };
    Ok(match convert {
        "Table" => {
            let include = IncludeObject::parse(query.get("includeObject").unwrap_or_default())?;
            Some(Form::Table(api_version, include))
        }
        "PartialObjectMetadata" | "PartialObjectMetadataList" => {
            Some(Form::PartialMetadata(api_version))
        }
        _ => None,
    })
}

fn parse_clause(text: &str) -> Clause<'_> {
    let mut parts = text.split(';').map(str::trim);
    let mut clause = Clause {
        media: parts.next().unwrap_or_default(),
        quality: 1.0,
        ..Clause::default()
    };
    for part in parts {
        match part.split_once('=') {
            Some(("q", value)) => clause.quality = value.parse().unwrap_or(0.0),
            Some(("as", value)) => clause.convert = Some(value),
            Some(("g", value)) => clause.group = Some(value),
            Some(("v", value)) => clause.version = Some(value),
            _ => {}
        }
    }
    clause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(accept: &str) -> Option<Output> {
        negotiate(accept, &Query::default(), false).ok()
    }

    #[test]
    fn kubectl_gets_a_table_and_older_servers_would_give_plain_json() {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let table = Form::Table("meta.k8s.io/v1", IncludeObject::default());
        assert_eq!(
            pick(accept),
            Some(Output {
                encoding: Encoding::Json,
                form: table
            })
        );
    }

    #[test]
    fn what_is_not_served_is_passed_over() {
        assert_eq!(
            pick("application/vnd.kubernetes.protobuf,application/json"),
            Some(Output::JSON)
        );
        assert_eq!(pick("application/json;as=Unknown;g=meta.k8s.io;v=v1"), None);
        assert_eq!(pick("application/cbor"), None);
        assert_eq!(pick(""), Some(Output::JSON));
        assert_eq!(pick("text/html, */*;q=0.1"), Some(Output::JSON));
    }

    #[test]
    fn quality_decides_before_order() {
        let yaml = Output {
            encoding: Encoding::Yaml,
            form: Form::Object,
        };
        assert_eq!(pick("application/json;q=0.5, application/yaml"), Some(yaml));
        assert_eq!(pick("application/json;q=0"), None);
    }

    #[test]
    fn metadata_clients_get_partial_objects() {
        let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        let form = Form::PartialMetadata("meta.k8s.io/v1");
        assert_eq!(
            pick(accept),
            Some(Output {
                encoding: Encoding::Json,
                form
            })
        );
    }
}
