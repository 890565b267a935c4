//! The bodies that typed clients write in protobuf whatever a server says: namespaces, leases, candidates, events and
//! delete options.
//!
//! client-go's generated clients for built-in kinds send `application/vnd.kubernetes.protobuf` unless they are told
//! otherwise, kubectl's `create namespace` and leader election among them; they read JSON answers. So the
//! few built-in kinds that are served here are read in protobuf, by tables of their fields (Kubernetes'
//! `generated.proto` files), into the JSON that the other decoders make. Nothing is written in it, and no other kind
//! is read.

mod kinds;

use jiff::Timestamp;
use serde_json::{Map, Value};

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// A body that can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It isn't one of the kinds that are read.
    #[error("protobuf is not read for this kind")]
    Kind,
    /// It breaks off, or isn't what its kind has.
    #[error("proto: malformed {what}")]
    Malformed {
        /// Where.
        what: &'static str,
    },
}

type Result<T> = std::result::Result<T, Error>;

/// How a field becomes JSON.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Integer,
    Flag,
    /// Seconds, as `Time` shows them.
    Time,
    /// Microseconds, as `MicroTime` shows them.
    MicroTime,
    TextList,
    TextMap,
    /// Bytes that are JSON.
    Raw,
    Message(&'static Fields),
    List(&'static Fields),
}

type Fields = [(u64, &'static str, Shape)];

const ENVELOPE_TYPE: u64 = 1;
const ENVELOPE_RAW: u64 = 2;
const ENVELOPE_ENCODING: u64 = 3;

/// Decodes a body into the JSON form of its object.
pub fn decode(body: &[u8]) -> Result<Value> {
    let mut rest = Reader::new(body.strip_prefix(MAGIC).ok_or(Error::Kind)?, "envelope");
    let (mut object, mut raw) = (Map::new(), &[][..]);
    while let Some((number, value)) = rest.field()? {
        match number {
            ENVELOPE_TYPE => {
                object = message(value.bytes("envelope")?, kinds::TYPE_META, "envelope")?
            }
            ENVELOPE_RAW => raw = value.bytes("envelope")?,
            ENVELOPE_ENCODING if !value.bytes("envelope")?.is_empty() => return Err(Error::Kind),
            _ => {}
        }
    }
    let text = |member: &str| {
        object
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let fields = kinds::fields(text("apiVersion"), text("kind")).ok_or(Error::Kind)?;
    object.append(&mut message(raw, fields, "object")?);
    Ok(Value::Object(object))
}

fn message(bytes: &[u8], fields: &Fields, what: &'static str) -> Result<Map<String, Value>> {
    let mut reader = Reader::new(bytes, what);
    let mut members = Map::new();
    while let Some((number, value)) = reader.field()? {
        // Fields of a newer version are passed over, as every protobuf reader does.
        let Some((_, name, shape)) = fields.iter().find(|(known, ..)| *known == number) else {
            continue;
        };
        match shape {
            Shape::TextList => push(&mut members, name, text(value, name)?.into()),
            Shape::List(fields) => {
                let item = message(value.bytes(name)?, fields, name)?;
                push(&mut members, name, Value::Object(item));
            }
            Shape::TextMap => {
                let (key, text) = pair(value.bytes(name)?, name)?;
                let map = members
                    .entry(*name)
                    .or_insert_with(|| Value::Object(Map::new()));
                map[key] = text.into();
            }
            shape => {
                if let Some(value) = single(*shape, value, name)? {
                    members.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(members)
}

fn push(members: &mut Map<String, Value>, name: &str, item: Value) {
    let list = members
        .entry(name)
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// A field that is there once; `None` for a time that is zero, which means none.
fn single(shape: Shape, value: Wire<'_>, what: &'static str) -> Result<Option<Value>> {
    Ok(Some(match shape {
        Shape::Text => text(value, what)?.into(),
        // A negative number is its two's complement.
        Shape::Integer => (value.number(what)? as i64).into(),
        Shape::Flag => (value.number(what)? != 0).into(),
        Shape::Time => return time(value.bytes(what)?, "%Y-%m-%dT%H:%M:%SZ", what),
        Shape::MicroTime => return time(value.bytes(what)?, "%Y-%m-%dT%H:%M:%S%.6fZ", what),
        Shape::Raw => {
            let mut reader = Reader::new(value.bytes(what)?, what);
            let mut json = Value::Null;
            while let Some((number, value)) = reader.field()? {
                if number == 1 {
                    json = serde_json::from_slice(value.bytes(what)?)
                        .map_err(|_| Error::Malformed { what })?;
                }
            }
            json
        }
        Shape::Message(fields) => Value::Object(message(value.bytes(what)?, fields, what)?),
        Shape::TextList | Shape::TextMap | Shape::List(_) => return Ok(None),
    }))
}

fn text<'b>(value: Wire<'b>, what: &'static str) -> Result<&'b str> {
    std::str::from_utf8(value.bytes(what)?).map_err(|_| Error::Malformed { what })
}

fn time(bytes: &[u8], format: &str, what: &'static str) -> Result<Option<Value>> {
    let mut reader = Reader::new(bytes, what);
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => seconds = value.number(what)? as i64,
            2 => nanos = value.number(what)? as i32,
            _ => {}
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Error::Malformed { what })?;
    Ok(Some(time.strftime(format).to_string().into()))
}

fn pair<'b>(bytes: &'b [u8], what: &'static str) -> Result<(&'b str, &'b str)> {
    let mut reader = Reader::new(bytes, what);
    let mut pair = ("", "");
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => pair.0 = text(value, what)?,
            2 => pair.1 = text(value, what)?,
            _ => {}
        }
    }
    Ok(pair)
}

/// A field's value on the wire.
#[derive(Clone, Copy)]
enum Wire<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// Of a width that no known field has.
    Fixed,
}

impl<'b> Wire<'b> {
    fn number(self, what: &'static str) -> Result<u64> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => Err(Error::Malformed { what }),
        }
    }

    fn bytes(self, what: &'static str) -> Result<&'b [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed => Err(Error::Malformed { what }),
        }
    }
}

/// Reads a message field by field.
struct Reader<'b> {
    rest: &'b [u8],
    what: &'static str,
}

impl<'b> Reader<'b> {
    fn new(rest: &'b [u8], what: &'static str) -> Self {
        Self { rest, what }
    }

    fn malformed(&self) -> Error {
        Error::Malformed { what: self.what }
    }

    /// The next field and its number; `None` at the end.
    fn field(&mut self) -> Result<Option<(u64, Wire<'b>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let value = match key & 7 {
            0 => Wire::Number(self.number()?),
            1 => self.take(8).map(|_| Wire::Fixed)?,
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| self.malformed())?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed)?,
            _ => return Err(self.malformed()),
        };
        Ok(Some((key >> 3, value)))
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(|| self.malformed())?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.malformed())
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128, "one byte tells the length");
        [&[number << 3 | 2, length], content].concat()
    }

    fn body(kind: &str, version: &str, raw: &[u8]) -> Vec<u8> {
        let types = [bytes(1, version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC, &bytes(1, &types), &bytes(2, raw), &bytes(3, b"")].concat()
    }

    #[test]
    fn a_namespace_is_read_as_client_go_writes_it() {
        let label = [bytes(1, b"team"), bytes(2, b"a")].concat();
        let metadata = [
            bytes(1, b"made"),
            bytes(2, b""),
            vec![7 << 3, 0],
            bytes(8, b""),
            bytes(11, &label),
            bytes(14, b"x.io/one"),
            bytes(14, b"x.io/two"),
        ]
        .concat();
        let raw = [bytes(1, &metadata), bytes(2, b""), bytes(3, &bytes(1, b""))].concat();
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": "made", "generateName": "", "generation": 0,
                "labels": {"team": "a"}, "finalizers": ["x.io/one", "x.io/two"],
            },
            "spec": {},
        });
        assert_eq!(decode(&body("Namespace", "v1", &raw)), Ok(expected));
    }

    #[test]
    fn a_lease_keeps_its_microseconds_and_an_empty_holder() {
        // 2026-01-02T03:04:05.000006Z
        let time = [
            vec![1 << 3, 0xa5, 0xeb, 0xdc, 0xca, 0x06],
            vec![2 << 3, 0xf0, 0x2e],
        ]
        .concat();
        let spec = [
            bytes(1, b""),
            vec![2 << 3, 15],
            bytes(3, b""),
            bytes(4, &time),
        ]
        .concat();
        let raw = [bytes(1, &bytes(1, b"l")), bytes(2, &spec)].concat();
        let lease = decode(&body("Lease", "coordination.k8s.io/v1", &raw)).unwrap();
        assert_eq!(
            lease["spec"],
            json!({
                "holderIdentity": "", "leaseDurationSeconds": 15,
                "renewTime": "2026-01-02T03:04:05.000006Z",
            })
        );
    }

    #[test]
    fn an_event_is_read_in_the_names_of_its_view() {
        let about = [bytes(1, b"Widget"), bytes(3, b"a")].concat();
        let older = [
            bytes(2, &about),
            bytes(4, b"text"),
            bytes(5, &bytes(1, b"c")),
            vec![8 << 3, 2],
        ];
        let older = decode(&body("Event", "v1", &older.concat())).unwrap();
        assert_eq!(
            older,
            json!({
                "apiVersion": "v1", "kind": "Event", "message": "text", "count": 2,
                "involvedObject": {"kind": "Widget", "name": "a"}, "source": {"component": "c"},
            })
        );
        let series = bytes(3, &[1 << 3, 2]);
        let newer = [series, bytes(4, b"c"), bytes(8, &about), bytes(10, b"text")].concat();
        let newer = decode(&body("Event", "events.k8s.io/v1", &newer)).unwrap();
        assert_eq!(
            newer,
            json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "text", "series": {"count": 2},
                "reportingController": "c", "regarding": {"kind": "Widget", "name": "a"},
            })
        );
        let unknown = body("Event", "example.com/v1", b"");
        assert_eq!(decode(&unknown), Err(Error::Kind));
    }

    #[test]
    fn a_candidate_is_read_in_both_its_versions() {
        let spec = [
            bytes(1, b"leader"),
            bytes(4, b"1.2.3"),
            bytes(6, b"OldestEmulationVersion"),
        ];
        let raw = bytes(2, &spec.concat());
        for version in [
            "coordination.k8s.io/v1beta1",
            "coordination.k8s.io/v1alpha2",
        ] {
            let candidate = decode(&body("LeaseCandidate", version, &raw)).unwrap();
            assert_eq!(
                candidate["spec"],
                json!({"leaseName": "leader", "binaryVersion": "1.2.3", "strategy": "OldestEmulationVersion"})
            );
        }
    }

    #[test]
    fn other_kinds_and_broken_bodies_are_refused() {
        assert_eq!(decode(b"{}"), Err(Error::Kind));
        assert_eq!(decode(&body("Pod", "v1", b"")), Err(Error::Kind));
        let whole = body("Namespace", "v1", &bytes(1, &bytes(1, b"made")));
        // The empty encoding at the end (two bytes) is no loss.
        for end in MAGIC.len() + 1..whole.len() - 2 {
            // Cut between two fields a body is whole, but without its kind or its name.
            if let Ok(value) = decode(&whole[..end]) {
                assert_eq!(value.get("metadata"), None, "cut at {end}");
            }
        }
        let not_text = body("Namespace", "v1", &bytes(1, &bytes(1, &[0xff])));
        assert_eq!(decode(&not_text), Err(Error::Malformed { what: "name" }));
    }

    proptest::proptest! {
        #[test]
        fn no_body_panics(kind in "Namespace|Lease|LeaseCandidate|Event|DeleteOptions", raw in proptest::collection::vec(0u8.., 0..100)) {
            let _ = decode(&body(&kind, "v1", &raw));
        }
    }
}
