//! A call as it was written: its arguments by place and by name.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident,
    Spanned, Value,
};
use rollbook_model::nearest;

use crate::error::{EngineError, Position};
use crate::sql::limits::position;

/// A call of a behaviour function.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    pub(crate) position: Option<Position>,
    by_place: Vec<Expr>,
    by_name: BTreeMap<String, Expr>,
}

impl Call {
    /// The arguments of a call.
    ///
    /// # Errors
    /// [`EngineError::Behaviour`] where it is not a plain call with arguments by place, then by name.
    pub(crate) fn of(name: &'static str, function: &Function) -> Result<Self, EngineError> {
        let mut call = Self {
            function: name,
            position: position(function.span().start),
            by_place: Vec::new(),
            by_name: BTreeMap::new(),
        };
        let FunctionArguments::List(list) = &function.args else {
            return Err(call.refused("its arguments stand in parentheses"));
        };
        let is_plain = function.filter.is_none()
            && function.over.is_none()
            && function.null_treatment.is_none()
            && function.within_group.is_empty()
            && list.clauses.is_empty()
            && list.duplicate_treatment.is_none();
        if !is_plain {
            return Err(call.refused("it takes arguments alone"));
        }
        for argument in &list.args {
            let (name, argument) = match argument {
                FunctionArg::Named { name, arg, .. } => (Some(name.value.to_lowercase()), arg),
                FunctionArg::ExprNamed { name, arg, .. } => {
                    (Some(name.to_string().to_lowercase()), arg)
                }
                FunctionArg::Unnamed(arg) => (None, arg),
            };
            let FunctionArgExpr::Expr(expr) = argument else {
                return Err(call.refused("`*` is no argument of it"));
            };
            match name {
                Some(name) => {
                    if call.by_name.insert(name.clone(), expr.clone()).is_some() {
                        return Err(call.refused(&format!("`{name}` is given twice")));
                    }
                }
                None if call.by_name.is_empty() => call.by_place.push(expr.clone()),
                None => {
                    let message = "arguments without a name come first, such as did('page_viewed', \
                                   at_least => 2)";
                    return Err(call.refused(message));
                }
            }
        }
        Ok(call)
    }

    /// Refuses arguments that the function does not have.
    pub(crate) fn allow(&self, places: usize, names: &[&str]) -> Result<(), EngineError> {
        if self.by_place.len() > places {
            let message = match places {
                0 => "all of its arguments have names".to_owned(),
                1 => "one argument comes without a name".to_owned(),
                _ => format!("{places} arguments come without a name"),
            };
            return Err(self.refused(&message));
        }
        for name in self.by_name.keys() {
            if !names.contains(&name.as_str()) {
                let meant = nearest(name, names.iter().copied());
                let meant = meant.map_or_else(
                    || format!("it has {}", names.join(", ")),
                    |meant| format!("did you mean `{meant}`?"),
                );
                return Err(self.refused(&format!("it has no argument `{name}`: {meant}")));
            }
        }
        Ok(())
    }

    /// The text at a place.
    pub(crate) fn text_at(&self, place: usize, meaning: &str) -> Result<String, EngineError> {
        let found = self.by_place.get(place).and_then(text);
        found.ok_or_else(|| {
            self.refused(&format!(
                "it wants {meaning} in quotes, such as {}",
                self.example()
            ))
        })
    }

    /// The text at a place, where there is one.
    pub(crate) fn text_at_or_none(
        &self,
        place: usize,
        meaning: &str,
    ) -> Result<Option<String>, EngineError> {
        match self.by_place.get(place) {
            None => Ok(None),
            Some(_) => self.text_at(place, meaning).map(Some),
        }
    }

    /// The text with a name.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, EngineError> {
        let Some(expr) = self.by_name.get(name) else {
            return Ok(None);
        };
        let found = text(expr);
        found
            .map(Some)
            .ok_or_else(|| self.refused(&format!("`{name}` is a text in quotes")))
    }

    /// The whole number with a name.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, EngineError> {
        let Some(expr) = self.by_name.get(name) else {
            return Ok(None);
        };
        let number = match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => digits.parse().ok(),
                _ => None,
            },
            _ => None,
        };
        number
            .map(Some)
            .ok_or_else(|| self.refused(&format!("`{name}` is a whole number, such as 2")))
    }

    /// What stands under a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Expr> {
        self.by_name.get(name)
    }

    /// All arguments but those that have these names.
    pub(crate) fn without(&self, names: &[&str]) -> Vec<FunctionArg> {
        let by_place = self.by_place.iter().cloned();
        let by_place = by_place.map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
        let others = self.by_name.iter();
        let others = others.filter(|(name, _)| !names.contains(&name.as_str()));
        let others = others.map(|(name, expr)| FunctionArg::Named {
            name: Ident::new(name),
            arg: FunctionArgExpr::Expr(expr.clone()),
            operator: FunctionArgOperator::RightArrow,
        });
        by_place.chain(others).collect()
    }

    /// The place of an argument, else that of the call.
    pub(crate) fn position_of(&self, name: &str) -> Option<Position> {
        let expr = self.by_name.get(name);
        expr.and_then(|expr| position(expr.span().start))
            .or(self.position)
    }

    /// An error about this call.
    pub(crate) fn refused(&self, message: &str) -> EngineError {
        EngineError::Behaviour {
            function: self.function.to_owned(),
            message: message.to_owned(),
            position: self.position,
        }
    }

    fn example(&self) -> &'static str {
        match self.function {
            "did" => "did('email_clicked', at_least => 2)",
            "times" => "times('page_viewed') > 3",
            "first_time" => "first_time('page_viewed') > '2025-01-01'",
            "last_time" => "last_time('page_viewed') > '2025-01-01'",
            "bought" => "bought('SKU-1')",
            "sequence" => "sequence('cart_created', 'order_placed', within => interval '2 days')",
            "in_segment" => "in_segment('employees')",
            "has_object" => "has_object('product_request')",
            _ => "spent(within => interval '30 days')",
        }
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
