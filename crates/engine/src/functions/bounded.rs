//! A limit on functions that build long texts from short ones, such as `repeat('x', 600000000)`.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The largest number of characters in a result.
const MAX_CHARACTERS: i64 = 10_000;

/// DataFusion's function of the same name; it fails where the result would exceed the limit.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bounded {
    inner: Arc<ScalarUDF>,
}

impl Bounded {
    pub(crate) fn new(inner: Arc<ScalarUDF>) -> Self {
        Self { inner }
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        if let [texts, counts, ..] = arrays.as_slice() {
            let counts = cast(counts, &DataType::Int64)?;
            let texts = cast(texts, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            let repeats = self.name() == "repeat";
            for (row, count) in counts.as_primitive::<Int64Type>().iter().enumerate() {
                let length = if repeats && !texts.is_null(row) {
                    i64::from(texts.value_length(row))
                } else {
                    1
                };
                if count.is_some_and(|count| count.saturating_mul(length) > MAX_CHARACTERS) {
                    return exec_err!(
                        "`{}` gives more than {MAX_CHARACTERS} characters",
                        self.name()
                    );
                }
            }
        }
        self.inner.invoke_with_args(args)
    }
}
