//! Countries.

use std::str::FromStr;

use super::{Invalid, shown, text_access, text_value};

/// A country by its code of two letters: those that ISO 3166-1 assigns
/// (<https://www.iso.org/iso-3166-country-codes.html>), and `XK`, which it leaves to its
/// users and databases of addresses use for Kosovo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(&'static str);

text_value!(Country, "a country such as `DE`", {
    "type": "string",
    "title": "country",
    "description": "Code of a country, as ISO 3166-1 alpha-2 assigns them.",
    "pattern": "^[A-Z]{2}$",
    "examples": ["DE", "US"]
});

text_access!(Country);

const CODES: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN \
BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ \
DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL \
GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM \
JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME \
MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP \
NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD \
SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

impl FromStr for Country {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = |text: &str| CODES.split(' ').find(|code| *code == text);
        if let Some(code) = known(text) {
            return Ok(Self(code));
        }
        let upper = text.to_ascii_uppercase();
        let instead = match upper.as_str() {
            "UK" => known("GB"),
            "EL" => known("GR"),
            upper => known(upper),
        };
        let hint = match instead {
            Some(code) => format!("write `{code}`"),
            None => "write its two letters of ISO 3166-1, as in `DE`".to_owned(),
        };
        let text = shown(text);
        Err(Invalid::new(format!("{text} is not a country: {hint}")))
    }
}
