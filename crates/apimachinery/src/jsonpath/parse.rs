//! Parsing of paths.

use serde_json::Value;

use super::{Comparison, Condition, JsonPath, JsonPathError, Operand, Step};

type Result<T> = std::result::Result<T, JsonPathError>;

fn error<T>(text: impl Into<String>) -> Result<T> {
    Err(JsonPathError(text.into()))
}

/// Parses a whole path.
pub(super) fn path(text: &str) -> Result<JsonPath> {
    let text = text.trim();
    let text = match text.strip_prefix('{') {
        Some(rest) => match rest.strip_suffix('}') {
            Some(inner) => inner.trim(),
            None => return error("unclosed action"),
        },
        None => text,
    };
    let text = text.strip_prefix(['$', '@']).unwrap_or(text);
    let mut parser = Parser { rest: text };
    let steps = parser.steps()?;
    if parser.rest.is_empty() {
        Ok(JsonPath { steps })
    } else {
        error(format!("unexpected text in a path: {}", parser.rest))
    }
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn eat(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        // A leading name without a dot is allowed.
        if !self.rest.is_empty() && !self.rest.starts_with(['.', '[']) {
            steps.push(self.name()?);
        }
        loop {
            if self.eat("..") {
                steps.push(Step::Descend);
                if self.rest.starts_with('[') {
                    continue;
                }
                steps.push(self.name()?);
            } else if self.eat(".") {
                // A lone dot is the value itself.
                if !self.rest.is_empty() && !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.eat("[") {
                steps.push(self.brackets()?);
            } else {
                return Ok(steps);
            }
        }
    }

    /// A name up to the next dot or bracket; a backslash takes the next character as it is.
    fn name(&mut self) -> Result<Step> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, c)) => name.push(c),
                    None => return error("a path ends with a backslash"),
                },
                '.' | '[' | ']' | ')' | '=' | '!' | '<' | '>' | ' ' | ',' | '(' | '{' | '}' => {
                    end = index;
                    break;
                }
                c => name.push(c),
            }
        }
        self.rest = &self.rest[end..];
        match name.as_str() {
            "" => error("a path has an empty name"),
            "*" => Ok(Step::Wildcard),
            _ => Ok(Step::Name(name)),
        }
    }

    /// What stands between brackets; the opening one is eaten.
    fn brackets(&mut self) -> Result<Step> {
        if self.eat("?(") {
            let condition = self.condition()?;
            return if self.eat(")]") {
                Ok(Step::Filter(condition))
            } else {
                error("unterminated filter")
            };
        }
        let mut selections = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            selections.push(self.selection()?);
            self.rest = self.rest.trim_start();
            if self.eat("]") {
                break;
            }
            if !self.eat(",") {
                return error("unterminated array");
            }
        }
        Ok(match <[Step; 1]>::try_from(selections) {
            Ok([one]) => one,
            Err(many) => Step::Union(many),
        })
    }

    fn selection(&mut self) -> Result<Step> {
        if self.rest.starts_with(['\'', '"']) {
            return Ok(Step::Name(self.quoted()?));
        }
        if self.eat("*") {
            return Ok(Step::Wildcard);
        }
        let end = self.rest.find([',', ']']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let number = |text: &str| -> Result<Option<i64>> {
            match text.trim() {
                "" => Ok(None),
                text => match text.parse() {
                    Ok(number) => Ok(Some(number)),
                    Err(_) => error(format!("invalid array index {text}")),
                },
            }
        };
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [one] => match number(one)? {
                Some(index) => Ok(Step::Index(index)),
                None => error("invalid array index"),
            },
            [start, end] => Ok(Step::Slice {
                start: number(start)?,
                end: number(end)?,
                step: 1,
            }),
            [start, end, step] => match number(step)?.unwrap_or(1) {
                step if step > 0 => Ok(Step::Slice {
                    start: number(start)?,
                    end: number(end)?,
                    step,
                }),
                _ => error("step must be > 0"),
            },
            _ => error(format!("invalid array index {text}")),
        }
    }

    fn quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        let Some((_, quote)) = chars.next() else {
            return error("unterminated quoted string");
        };
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => {
                    if let Some((_, c)) = chars.next() {
                        text.push(c);
                    }
                }
                c if c == quote => {
                    self.rest = &self.rest[index + c.len_utf8()..];
                    return Ok(text);
                }
                c => text.push(c),
            }
        }
        error("unterminated quoted string")
    }

    fn condition(&mut self) -> Result<Condition> {
        let left = self.operand()?;
        self.rest = self.rest.trim_start();
        for (text, comparison) in [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ] {
            if self.eat(text) {
                self.rest = self.rest.trim_start();
                let right = self.operand()?;
                self.rest = self.rest.trim_start();
                return Ok(Condition {
                    left,
                    test: Some((comparison, right)),
                });
            }
        }
        Ok(Condition { left, test: None })
    }

    fn operand(&mut self) -> Result<Operand> {
        self.rest = self.rest.trim_start();
        if self.eat("@") {
            return Ok(Operand::Path(JsonPath {
                steps: self.steps()?,
            }));
        }
        if self.rest.starts_with(['\'', '"']) {
            return Ok(Operand::Constant(Value::String(self.quoted()?)));
        }
        let end = self
            .rest
            .find([')', '=', '!', '<', '>', ' '])
            .unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        match serde_json::from_str(text) {
            Ok(value) => Ok(Operand::Constant(value)),
            Err(_) => error(format!("unrecognized value in a filter: {text}")),
        }
    }
}
