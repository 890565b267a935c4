//! The grammar of label selectors.

use std::collections::BTreeSet;

use super::labels::{Operator, Requirement};
use crate::field::{FieldError, Path};
use crate::names;

/// Parses a whole selector, in the order written; the error is the message that clients know.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    Parser::new(text).selector()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    End,
    Close,
    Comma,
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
    Open,
    Word,
    Bad,
}

#[derive(Clone, Copy, Debug)]
struct Token<'t> {
    kind: Kind,
    text: &'t str,
}

/// Tokens of a selector. `in` and `notin` are words; the parser knows where they are operators.
fn scan(text: &str) -> Vec<Token<'_>> {
    const SPECIAL: &[char] = &['=', '!', '(', ')', ',', '>', '<'];
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else {
            tokens.push(Token {
                kind: Kind::End,
                text: "",
            });
            return tokens;
        };
        let (kind, length) = match first {
            ')' => (Kind::Close, 1),
            '(' => (Kind::Open, 1),
            ',' => (Kind::Comma, 1),
            '>' => (Kind::Greater, 1),
            '<' => (Kind::Less, 1),
            '=' if rest.starts_with("==") => (Kind::Equals, 2),
            '=' => (Kind::Equals, 1),
            '!' if rest.starts_with("!=") => (Kind::NotEquals, 2),
            '!' => (Kind::Not, 1),
            '\0' => (Kind::Bad, 1),
            _ => {
                let end = rest
                    .find(|c| SPECIAL.contains(&c) || matches!(c, ' ' | '\t' | '\r' | '\n' | '\0'))
                    .unwrap_or(rest.len());
                (Kind::Word, end)
            }
        };
        tokens.push(Token {
            kind,
            text: &rest[..length],
        });
        rest = &rest[length..];
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    position: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            tokens: scan(text),
            position: 0,
        }
    }

    fn peek(&self) -> Token<'t> {
        self.tokens.get(self.position).copied().unwrap_or(Token {
            kind: Kind::End,
            text: "",
        })
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::Word | Kind::Not => {
                    let requirement = self
                        .requirement()
                        .map_err(|why| format!("unable to parse requirement: {why}"))?;
                    requirements.push(requirement);
                    let token = self.next();
                    match token.kind {
                        Kind::End => return Ok(requirements),
                        Kind::Comma => {
                            let after = self.peek();
                            if !matches!(after.kind, Kind::Word | Kind::Not) {
                                return Err(format!(
                                    "found '{}', expected: identifier after ','",
                                    after.text
                                ));
                            }
                        }
                        _ => {
                            return Err(format!(
                                "found '{}', expected: ',' or 'end of string'",
                                token.text
                            ));
                        }
                    }
                }
                Kind::End => return Ok(requirements),
                _ => {
                    return Err(format!(
                        "found '{}', expected: !, identifier, or 'end of string'",
                        token.text
                    ));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next();
        let negated = token.kind == Kind::Not;
        if negated {
            token = self.next();
        }
        if token.kind != Kind::Word {
            return Err(format!("found '{}', expected: identifier", token.text));
        }
        let key = token.text;
        let messages = names::qualified_name(key);
        if !messages.is_empty() {
            return Err(FieldError::invalid(&Path::ROOT, key, messages.join("; ")).to_string());
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new(), false);
        }
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Requirement::new(key, Operator::Exists, Vec::new(), false);
        }
        let token = self.next();
        let (operator, exact) = match (token.kind, token.text) {
            (Kind::Equals, _) => (Operator::In, true),
            (Kind::NotEquals, _) => (Operator::NotIn, true),
            (Kind::Greater, _) => (Operator::GreaterThan, true),
            (Kind::Less, _) => (Operator::LessThan, true),
            (Kind::Word, "in") => (Operator::In, false),
            (Kind::Word, "notin") => (Operator::NotIn, false),
            _ => {
                return Err(format!(
                    "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                    token.text
                ));
            }
        };
        let values = if exact {
            vec![self.exact_value()?]
        } else {
            self.values()?
        };
        Requirement::new(key, operator, values, exact)
    }

    fn exact_value(&mut self) -> Result<String, String> {
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.next();
        if token.kind == Kind::Word {
            Ok(token.text.to_owned())
        } else {
            Err(format!("found '{}', expected: identifier", token.text))
        }
    }

    /// `(a,b,,c)`: a missing value is the empty string; twice the same counts once.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let token = self.next();
        if token.kind != Kind::Open {
            return Err(format!("found '{}' expected: '('", token.text));
        }
        let mut values = BTreeSet::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Word => {
                    values.insert(token.text.to_owned());
                    let after = self.next();
                    match after.kind {
                        Kind::Comma => {
                            if self.peek().kind == Kind::Close {
                                values.insert(String::new());
                            }
                        }
                        Kind::Close => return Ok(values.into_iter().collect()),
                        _ => {
                            return Err(format!("found '{}', expected: ',' or ')'", after.text));
                        }
                    }
                }
                Kind::Comma => {
                    values.insert(String::new());
                }
                Kind::Close => {
                    values.insert(String::new());
                    return Ok(values.into_iter().collect());
                }
                _ => {
                    return Err(format!(
                        "found '{}', expected: ',', ')' or identifier",
                        token.text
                    ));
                }
            }
        }
    }
}
