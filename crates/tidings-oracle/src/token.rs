//! The tokens that both rule languages are made of.

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Letters, digits, `_`, `-` and `.`: keywords, keys, numbers, `1000T`, `5D`.
    Word(String),
    /// The text between quotes, escapes resolved.
    Text(String),
    /// A sign: `==`, `>=`, `(`, `,` and so on.
    Sign(&'static str),
}

/// Longest first, so that `=>` is not read as `=` and `>`.
const SIGNS: [&str; 12] = [
    "==", "!=", ">=", "=>", "<=", ">", "<", "(", ")", "[", "]", ",",
];

/// All tokens of a rule, and how many of them were read.
#[derive(Debug)]
pub(crate) struct Tokens {
    all: Vec<Token>,
    at: usize,
}

impl Tokens {
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                let (token, after) = quoted(rest)?;
                all.push(token);
                rest = after;
            } else if let Some((sign, after)) = sign(rest) {
                all.push(Token::Sign(sign));
                rest = after;
            } else {
                let is_word = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                if word.is_empty() {
                    return Err(format!("cannot read {rest:?}"));
                }
                all.push(Token::Word(word.to_owned()));
                rest = after;
            }
            rest = rest.trim_start();
        }
        Ok(Self { all, at: 0 })
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.all.get(self.at)
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    /// Reads this keyword, in any case, if it comes next.
    pub(crate) fn keyword(&mut self, keyword: &str) -> bool {
        let is =
            matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(is);
        is
    }

    /// Reads this sign if it comes next.
    pub(crate) fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Sign(other)) if *other == sign);
        self.at += usize::from(is);
        is
    }

    pub(crate) fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(format!("expected {sign}, found {:?}", self.peek()))
        }
    }

    pub(crate) fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(word)) => Ok(word),
            other => Err(format!("expected a word, found {other:?}")),
        }
    }
}

fn sign(text: &str) -> Option<(&'static str, &str)> {
    SIGNS
        .iter()
        .find_map(|&sign| Some((sign, text.strip_prefix(sign)?)))
}

/// A text in quotes, in which `\"` and `\\` stand for the second character.
fn quoted(text: &str) -> Result<(Token, &str), String> {
    let mut chars = text.chars();
    chars.next();
    let mut content = String::new();
    loop {
        match chars.next() {
            Some('"') => return Ok((Token::Text(content), chars.as_str())),
            Some('\\') => match chars.next() {
                Some(escaped @ ('"' | '\\')) => content.push(escaped),
                Some(other) => content.extend(['\\', other]),
                None => break,
            },
            Some(other) => content.push(other),
            None => break,
        }
    }
    Err("a text without its closing quote".to_owned())
}
