//! Numbering plans: which digits are a valid number in which country, as in libphonenumber.
//!
//! The plans are libphonenumber's, from the crate `phonenumber`. Parsing follows libphonenumber too
//! (`PhoneNumberUtil.parse` and `isValidNumber`), on the digits only: a number that begins with the code of
//! its own country keeps these digits if it is only valid with them.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use phonenumber::metadata::{DATABASE, Descriptor};
use phonenumber::{Metadata, Type};
use regex::Regex;

/// Maximum number of digits of a country code.
const LONGEST_CODE: usize = 3;
/// Minimum and maximum number of digits without the country code, in any country.
const NATIONAL: std::ops::RangeInclusive<usize> = 2..=17;

/// Types of numbers at which a person can be called.
const KINDS: [Type; 10] = [
    Type::FixedLine,
    Type::Mobile,
    Type::Voip,
    Type::PersonalNumber,
    Type::TollFree,
    Type::SharedCost,
    Type::PremiumRate,
    Type::Uan,
    Type::Pager,
    Type::Voicemail,
];

/// All plans, with their indices.
static PLANS: LazyLock<Plans> = LazyLock::new(Plans::all);

/// A country code and a national number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    code: u16,
    national: String,
}

impl Number {
    /// `+`, the country code and the number (ITU-T E.164).
    pub(super) fn e164(&self) -> String {
        format!("+{}{}", self.code, self.national)
    }
}

/// Parses the digits after a `+`; `None` if no numbering plan allows it, `Err` if the digits begin
/// with no country code.
pub(super) fn international(digits: &str) -> Result<Option<Number>, NoCountry> {
    let (code, national) = PLANS.split(digits).ok_or(NoCountry)?;
    Ok(PLANS.settled(code, national))
}

/// Parses digits as dialled in a region (ISO 3166-1 alpha-2); `None` if no numbering plan allows it.
pub(super) fn dialled(digits: &str, region: &str) -> Option<Number> {
    let plan = PLANS.of_region(region)?;
    if let Some(abroad) = plan.after_international_prefix(digits) {
        return international(abroad).ok().flatten();
    }
    let national = plan.without_own_code(digits);
    PLANS.settled(plan.code, national)
}

/// The digits begin with no country code.
#[derive(Debug)]
pub(super) struct NoCountry;

struct Plans {
    all: Vec<Plan>,
    by_code: HashMap<u16, Vec<usize>>,
    by_region: HashMap<String, usize>,
}

/// The numbering plan of one region.
struct Plan {
    code: u16,
    general: Pattern,
    kinds: Vec<Pattern>,
    /// Possible lengths of numbers, including those dialled only within a town.
    lengths: Vec<usize>,
    local: Vec<usize>,
    international_prefix: Option<Pattern>,
    national_prefix: Option<Pattern>,
    /// The transformation of a number with the national prefix, if the prefix is not simply removed.
    transform: Option<String>,
    /// The leading digits of this region's numbers, if several regions share a country code.
    leading: Option<Pattern>,
}

/// A regular expression that is compiled on first use.
struct Pattern {
    text: String,
    lengths: Vec<usize>,
    whole: OnceLock<Option<Regex>>,
    beginning: OnceLock<Option<Regex>>,
}

impl Plans {
    fn all() -> Self {
        let mut plans = Self {
            all: Vec::new(),
            by_code: HashMap::new(),
            by_region: HashMap::new(),
        };
        for code in 1..1_000_u16 {
            // The main region of a code comes first.
            for metadata in DATABASE.by_code(&code).into_iter().flatten() {
                let place = plans.all.len();
                plans.all.push(Plan::of(metadata));
                plans.by_code.entry(code).or_default().push(place);
                plans.by_region.insert(metadata.id().to_owned(), place);
            }
        }
        plans
    }

    fn of_region(&self, region: &str) -> Option<&Plan> {
        self.by_region.get(region).map(|place| &self.all[*place])
    }

    fn of_code(&self, code: u16) -> impl Iterator<Item = &Plan> {
        let places = self.by_code.get(&code).into_iter().flatten();
        places.map(|place| &self.all[*place])
    }

    /// Splits digits into a country code and the rest.
    fn split<'a>(&self, digits: &'a str) -> Option<(u16, &'a str)> {
        if digits.starts_with('0') {
            return None;
        }
        (1..=LONGEST_CODE).find_map(|length| {
            let code = digits.get(..length)?.parse().ok()?;
            let is_code = self.by_code.contains_key(&code);
            is_code.then(|| (code, &digits[length..]))
        })
    }

    /// The national number without its trunk prefix; `None` if it is invalid.
    fn settled(&self, code: u16, digits: &str) -> Option<Number> {
        let plan = self.of_code(code).next()?;
        if digits.len() < *NATIONAL.start() {
            return None;
        }
        let mut national = plan.without_national_prefix(digits);
        if plan.is_too_short_or_odd(&national) {
            national = digits.to_owned();
        }
        let is_number = NATIONAL.contains(&national.len()) && self.is_valid(code, &national);
        is_number.then_some(Number { code, national })
    }

    fn is_valid(&self, code: u16, national: &str) -> bool {
        let mut plans = self.of_code(code).peekable();
        let first = plans.next();
        if plans.peek().is_none() {
            return first.is_some_and(|plan| plan.has(national));
        }
        // Of several regions with one code, the first that numbers can belong to has it.
        for plan in first.into_iter().chain(plans) {
            match &plan.leading {
                Some(leading) if leading.begins(national).is_some() => return plan.has(national),
                Some(_) => {}
                None if plan.has(national) => return true,
                None => {}
            }
        }
        false
    }
}

impl Plan {
    fn of(metadata: &Metadata) -> Self {
        let descriptors = metadata.descriptors();
        let kinds = KINDS.iter().filter_map(|kind| descriptors.get(*kind));
        let mut general = Pattern::of(descriptors.general());
        let (mut lengths, mut local) = (Vec::new(), Vec::new());
        for kind in kinds.clone() {
            lengths.extend(kind.possible_length().iter().map(|one| usize::from(*one)));
            let of_town = kind.possible_local_length().iter();
            local.extend(of_town.map(|one| usize::from(*one)));
        }
        lengths.sort_unstable();
        lengths.dedup();
        local.retain(|length| !lengths.contains(length));
        general.lengths.clone_from(&lengths);
        let national_prefix = metadata
            .national_prefix_for_parsing()
            .map(|regex| Pattern::from(regex.as_str()));
        Self {
            code: metadata.country_code(),
            general,
            kinds: kinds.map(Pattern::of).collect(),
            lengths,
            local,
            international_prefix: metadata
                .international_prefix()
                .map(|regex| Pattern::from(regex.as_str())),
            national_prefix: national_prefix
                .or_else(|| metadata.national_prefix().map(Pattern::from)),
            transform: metadata.national_prefix_transform_rule().map(braced),
            leading: metadata
                .leading_digits()
                .map(|regex| Pattern::from(regex.as_str())),
        }
    }

    /// Whether this is a number of the region.
    fn has(&self, national: &str) -> bool {
        self.general.is_whole(national) && self.kinds.iter().any(|kind| kind.is_whole(national))
    }

    /// The digits after the international prefix of this region.
    fn after_international_prefix<'a>(&self, digits: &'a str) -> Option<&'a str> {
        let end = self.international_prefix.as_ref()?.begins(digits)?;
        Some(&digits[end..]).filter(|rest| !rest.starts_with('0'))
    }

    /// The digits without the code of this country, if they are valid only without it.
    fn without_own_code<'a>(&self, digits: &'a str) -> &'a str {
        let Some(rest) = digits.strip_prefix(&self.code.to_string()) else {
            return digits;
        };
        let is_better = || {
            let national = self.without_national_prefix(rest);
            !self.general.is_whole(digits) && self.general.is_whole(&national)
        };
        let is_too_long = self.lengths.last().is_some_and(|most| digits.len() > *most)
            && !self.local.contains(&digits.len());
        match is_better() || is_too_long {
            true => rest,
            false => digits,
        }
    }

    /// The digits without the national prefix (and in some countries a carrier code), unless they are valid
    /// only with it.
    fn without_national_prefix(&self, digits: &str) -> String {
        let prefix = self.national_prefix.as_ref();
        let Some((prefix, found)) =
            prefix.and_then(|prefix| Some((prefix, prefix.captures(digits)?)))
        else {
            return digits.to_owned();
        };
        let last = found.len() - 1;
        let has_last = last > 0 && found.get(last).is_some();
        let shortened = match &self.transform {
            Some(transform) if has_last => match prefix.beginning() {
                Some(regex) => regex.replace(digits, transform.as_str()).into_owned(),
                None => return digits.to_owned(),
            },
            _ => digits[found.get(0).map_or(0, |all| all.end())..].to_owned(),
        };
        let is_lost = self.general.is_whole(digits) && !self.general.is_whole(&shortened);
        match is_lost {
            true => digits.to_owned(),
            false => shortened,
        }
    }

    fn is_too_short_or_odd(&self, national: &str) -> bool {
        self.local.contains(&national.len())
            || match (self.lengths.first(), self.lengths.last()) {
                (Some(_), Some(most)) => {
                    national.len() <= *most && !self.lengths.contains(&national.len())
                }
                _ => true,
            }
    }
}

impl Pattern {
    fn from(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            lengths: Vec::new(),
            whole: OnceLock::new(),
            beginning: OnceLock::new(),
        }
    }

    fn of(descriptor: &Descriptor) -> Self {
        let lengths = descriptor.possible_length().iter();
        Self {
            lengths: lengths.map(|one| usize::from(*one)).collect(),
            ..Self::from(descriptor.national_number().as_str())
        }
    }

    /// Whether the pattern matches all of the digits.
    fn is_whole(&self, digits: &str) -> bool {
        let is_long = self.lengths.is_empty() || self.lengths.contains(&digits.len());
        let whole = || {
            let whole = self
                .whole
                .get_or_init(|| compiled("^(?:", &self.text, ")$"));
            whole.as_ref().is_some_and(|regex| regex.is_match(digits))
        };
        is_long && whole()
    }

    fn beginning(&self) -> Option<&Regex> {
        let beginning = self
            .beginning
            .get_or_init(|| compiled("^(?:", &self.text, ")"));
        beginning.as_ref()
    }

    /// The number of leading digits that the pattern matches.
    fn begins(&self, digits: &str) -> Option<usize> {
        self.beginning()?.find(digits).map(|found| found.end())
    }

    fn captures<'a>(&self, digits: &'a str) -> Option<regex::Captures<'a>> {
        self.beginning()?.captures(digits)
    }
}

/// Compiles an expression of the plans, which have blanks between their parts.
fn compiled(before: &str, text: &str, after: &str) -> Option<Regex> {
    let text: String = text.split_whitespace().collect();
    Regex::new(&format!("{before}{text}{after}")).ok()
}

/// Rewrites `$1` as `${1}`, since digits may follow.
fn braced(transform: &str) -> String {
    let mut braced = String::with_capacity(transform.len() + 2);
    let mut is_group = false;
    for one in transform.chars() {
        match (is_group, one.is_ascii_digit()) {
            (true, true) => braced.extend(['{', one, '}']),
            _ => braced.push(one),
        }
        is_group = one == '$';
    }
    braced
}
