//! Errors of the verbs of a fleet, as texts for people: why a cluster isn't let in.

use std::fmt;

/// Why a server doesn't let a cluster in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRefusal {
    /// Nobody knows the token, or its secret half is another one.
    WrongToken,
    /// The token's time is over.
    Expired,
    /// A cluster has joined with the token.
    Used,
    /// The token is another cluster's.
    OtherCluster,
    /// The name or the authority is a member's already.
    Taken,
    /// The fleet has no member yet that could let somebody in.
    Open,
    /// The name or the authority can't be one.
    Invalid,
    /// The server can't decide now.
    Unavailable,
}

impl JoinRefusal {
    /// The code under which it is explained.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::WrongToken => "H020",
            Self::Expired => "H021",
            Self::Used => "H022",
            Self::OtherCluster => "H023",
            Self::Taken => "H024",
            Self::Open => "H033",
            Self::Invalid => "H037",
            Self::Unavailable => "H038",
        }
    }

    /// What to do.
    pub(super) fn remedy(self, cluster: &str) -> String {
        match self {
            Self::WrongToken | Self::Expired => format!(
                "Get a new token from a member: helium token create --cluster {cluster}. Nothing was changed in the fleet; the files that were made \
                 here are used next time."
            ),
            Self::Used => format!(
                "A token lets one cluster in once. If it wasn't this one, revoke the one that it let in: helium members, helium revoke. Then \
                 helium token create --cluster {cluster}."
            ),
            Self::OtherCluster => format!(
                "Use --cluster-name as the token has it, or get one for this cluster: helium token create --cluster {cluster}."
            ),
            Self::Taken => format!(
                "Choose another --cluster-name; if {cluster} is this very cluster's former life, remove that first, in a member: helium leave --dead {cluster}."
            ),
            Self::Open => {
                "Make the cluster that was asked the first member: helium init there. The token stays good.".to_owned()
            }
            Self::Invalid => {
                "If files in the folder were edited, remove the .crt and .key that the message is about and run this again.".to_owned()
            }
            Self::Unavailable => {
                "Run this again in a moment; the token is still good. helium doctor, in the member, says what is wrong there.".to_owned()
            }
        }
    }
}

impl fmt::Display for JoinRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::WrongToken => "the token is not known",
            Self::Expired => "the token has expired",
            Self::Used => "the token was used",
            Self::OtherCluster => "the token is for another cluster",
            Self::Taken => "the name or the authority is taken",
            Self::Open => "the fleet is open",
            Self::Invalid => "the request is not valid",
            Self::Unavailable => "the member can't decide now",
        })
    }
}
