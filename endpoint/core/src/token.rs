//! Who may enrol: tokens, names, and requests that are repeated.

use std::collections::BTreeMap;

use basalt_api::id::{HostId, Name};
use basalt_api::operator::{RESERVED_HOST_NAME, TokenCreate};

use crate::Seconds;

/// How many hosts redeem a token that does not say.
const DEFAULT_USES: u32 = 1;
/// How many hosts may redeem one token.
const MAX_USES: u32 = 10_000;
/// How long a token that does not say is good.
const DEFAULT_EXPIRES_S: u64 = 24 * 3600;
/// How long a token may be good.
const MAX_EXPIRES_S: u64 = 366 * 24 * 3600;

/// A token as it is kept; of its secret, only the hash is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// How many hosts may still redeem it.
    pub uses_left: u32,
    /// When it expires.
    pub expires_at: Seconds,
    /// Whether an operator took it back.
    pub is_revoked: bool,
    /// Labels that its hosts get.
    pub labels: BTreeMap<String, String>,
    /// The host whose place is taken.
    pub replace: Option<Name>,
}

/// What is there already when a token is redeemed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct There<'a> {
    /// Whom this token and this key made a host before, and whether that one was removed since.
    pub same_key: Option<(HostId, Standing)>,
    /// Who has the name now, that is asked for or that the token gives.
    pub name: Option<(HostId, &'a Name)>,
}

/// Whether a host still is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Good,
    /// It was removed.
    Revoked,
}

/// What follows a redemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The answer was lost: the same host gets it again.
    Again(HostId),
    /// A new host.
    New {
        /// Its name.
        name: Name,
        /// The host that it replaces, which is removed.
        replaces: Option<HostId>,
    },
}

/// Why a token was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// So many uses make no sense.
    #[error("a token has 1 to {MAX_USES} uses")]
    Uses,
    /// So long a time makes no sense.
    #[error("a token is good for 1 second to 366 days")]
    Expires,
    /// Two hosts cannot take one's place.
    #[error("a token that replaces a host has one use")]
    ReplaceOnce,
}

/// Why a redemption was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An operator took it back.
    #[error("this token was revoked")]
    Revoked,
    /// It came too late.
    #[error("this token has expired")]
    Expired,
    /// Others were faster.
    #[error("this token is used up")]
    UsedUp,
    /// The host that this key made was removed.
    #[error("the host of this key was removed")]
    HostRemoved,
    /// Another host has the name.
    #[error("there is a host named `{0}`")]
    NameTaken(Name),
    /// Nobody may have the name.
    #[error("no host may be named `{RESERVED_HOST_NAME}`")]
    NameReserved,
}

impl Token {
    /// The token that an operator asks for.
    ///
    /// # Errors
    /// What is asked for makes no sense.
    pub fn create(asked: &TokenCreate, now: Seconds) -> Result<Self, BadToken> {
        let uses_left = asked.uses.unwrap_or(DEFAULT_USES);
        if !(1..=MAX_USES).contains(&uses_left) {
            return Err(BadToken::Uses);
        }
        if asked.replace.is_some() && uses_left != 1 {
            return Err(BadToken::ReplaceOnce);
        }
        let expires_s = asked.expires_s.unwrap_or(DEFAULT_EXPIRES_S);
        if !(1..=MAX_EXPIRES_S).contains(&expires_s) {
            return Err(BadToken::Expires);
        }
        let expires_at = now.saturating_add_unsigned(expires_s);
        let (labels, replace) = (asked.labels.clone(), asked.replace.clone());
        Ok(Self { uses_left, expires_at, is_revoked: false, labels, replace })
    }

    /// The name that whoever redeems it gets.
    #[must_use]
    pub fn name_for<'a>(&'a self, asked: &'a Name) -> &'a Name {
        self.replace.as_ref().unwrap_or(asked)
    }

    /// Whether some host may still redeem it.
    ///
    /// # Errors
    /// None may.
    pub fn is_good(&self, now: Seconds) -> Result<(), Refused> {
        match self {
            _ if self.is_revoked => Err(Refused::Revoked),
            _ if self.expires_at <= now => Err(Refused::Expired),
            _ if self.uses_left == 0 => Err(Refused::UsedUp),
            _ => Ok(()),
        }
    }

    /// Decides about a redemption by a host that would like to be named `asked`.
    ///
    /// # Errors
    /// The token is not good, or the name is not free.
    pub fn redeem(&self, asked: &Name, there: There, now: Seconds) -> Result<Redeemed, Refused> {
        if self.is_revoked {
            return Err(Refused::Revoked);
        }
        // Whoever has the key has enrolled: expiry and uses are behind it.
        match there.same_key {
            Some((host, Standing::Good)) => return Ok(Redeemed::Again(host)),
            Some((_, Standing::Revoked)) => return Err(Refused::HostRemoved),
            None => (),
        }
        self.is_good(now)?;
        let name = self.name_for(asked);
        if name.as_str() == RESERVED_HOST_NAME {
            return Err(Refused::NameReserved);
        }
        let taken = there.name.filter(|(_, taken)| *taken == name).map(|(host, _)| host);
        if taken.is_some() && self.replace.is_none() {
            return Err(Refused::NameTaken(name.clone()));
        }
        Ok(Redeemed::New { name: name.clone(), replaces: taken })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn host(number: u128) -> HostId {
        HostId(uuid::Uuid::from_u128(number))
    }

    fn token() -> Token {
        Token::create(&TokenCreate::default(), 1000).unwrap()
    }

    fn check(token: &Token, there: There, now: Seconds, expected: &str) {
        let found = match token.redeem(&name("rack4"), there, now) {
            Ok(Redeemed::Again(_)) => "again".to_owned(),
            Ok(Redeemed::New { name, replaces: None }) => format!("new {name}"),
            Ok(Redeemed::New { name, replaces: Some(_) }) => format!("new {name} for another"),
            Err(refused) => refused.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_good_token_makes_a_host_and_a_bad_one_says_why() {
        check(&token(), There::default(), 1001, "new rack4");
        check(&token(), There::default(), 1000 + 86400, "this token has expired");
        check(&Token { uses_left: 0, ..token() }, There::default(), 1001, "this token is used up");
        check(
            &Token { is_revoked: true, ..token() },
            There::default(),
            1001,
            "this token was revoked",
        );
    }

    #[test]
    fn a_lost_answer_is_given_again_even_when_the_token_is_used_up_or_expired() {
        let there = There { same_key: Some((host(1), Standing::Good)), name: None };
        check(&Token { uses_left: 0, ..token() }, there, 1001, "again");
        check(&token(), there, 99_999_999, "again");
        check(&Token { is_revoked: true, ..token() }, there, 1001, "this token was revoked");
    }

    #[test]
    fn a_removed_host_does_not_come_back_by_its_old_token() {
        let there = There { same_key: Some((host(1), Standing::Revoked)), name: None };
        check(&token(), there, 1001, "the host of this key was removed");
    }

    #[test]
    fn a_taken_name_is_refused_unless_the_token_replaces() {
        let rack4 = name("rack4");
        let there = There { same_key: None, name: Some((host(1), &rack4)) };
        check(&token(), there, 1001, "there is a host named `rack4`");
        let replace = Token { replace: Some(rack4.clone()), ..token() };
        check(&replace, there, 1001, "new rack4 for another");
        check(&replace, There::default(), 1001, "new rack4");
    }

    #[test]
    fn nobody_is_named_self() {
        let refused = token().redeem(&name("self"), There::default(), 1001);
        assert_eq!(refused, Err(Refused::NameReserved));
    }

    #[test]
    fn a_token_that_makes_no_sense_is_not_made() {
        let create = |asked: TokenCreate| Token::create(&asked, 0).map(|_| ());
        let asked = TokenCreate::default;
        assert_eq!(create(TokenCreate { uses: Some(0), ..asked() }), Err(BadToken::Uses));
        assert_eq!(create(TokenCreate { expires_s: Some(0), ..asked() }), Err(BadToken::Expires));
        let twice = TokenCreate { uses: Some(2), replace: Some(name("a")), ..asked() };
        assert_eq!(create(twice), Err(BadToken::ReplaceOnce));
    }
}
