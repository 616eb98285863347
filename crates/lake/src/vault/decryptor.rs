//! Decryption of personal values: batch by batch, and as a function in SQL.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result as DataFusionResult};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use rollbook_model::{ColumnDef, TableDef};

use crate::LakeError;
use crate::encryption::key_pages::DataKeys;
use crate::encryption::seal::{open_columns, open_rows};

/// Decrypts the sealed values of one table.
#[derive(Clone)]
pub struct Decryptor {
    def: &'static TableDef,
    keys: Arc<DataKeys>,
}

impl fmt::Debug for Decryptor {
    /// Leaves the keys out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decryptor").field(&self.def.name).finish()
    }
}

impl Decryptor {
    pub(super) fn new(def: &'static TableDef, keys: DataKeys) -> Self {
        Self {
            def,
            keys: Arc::new(keys),
        }
    }

    /// Decrypts rows in `def.sealed_schema()`; the result has `def.vault_schema()`. Values whose data key
    /// is deleted are null.
    ///
    /// # Errors
    /// [`LakeError::Schema`]: the rows lack a column, or a value is damaged.
    pub fn open(&self, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let opened = open_rows(self.def, rows, &self.keys);
        opened.map_err(|source| LakeError::Schema {
            table: self.def.name.to_owned(),
            source,
        })
    }

    /// The SQL function that decrypts `column`. Its arguments are the columns of `def.vault_keys()` and
    /// the sealed values.
    pub fn function(&self, column: &'static ColumnDef) -> ScalarUDF {
        ScalarUDF::new_from_impl(OpenColumn {
            name: format!("open_{}_{}", self.def.name, column.name),
            decryptor: self.clone(),
            column,
            // Volatile, so that a filter on the function is not moved below the join with the vault,
            // where it would decrypt values of rows outside of the result.
            signature: Signature::any(self.def.vault_keys().len() + 1, Volatility::Volatile),
        })
    }
}

#[derive(Debug)]
struct OpenColumn {
    name: String,
    decryptor: Decryptor,
    column: &'static ColumnDef,
    signature: Signature,
}

impl PartialEq for OpenColumn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.decryptor.keys, &other.decryptor.keys)
    }
}

impl Eq for OpenColumn {}

impl Hash for OpenColumn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for OpenColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.column.ty.arrow())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let mut columns: Vec<ArrayRef> = ColumnarValue::values_to_arrays(&args.args)?;
        let sealed = columns
            .pop()
            .ok_or_else(|| DataFusionError::Internal(format!("`{}` has no argument", self.name)))?;
        let decryptor = &self.decryptor;
        let mut opened = open_columns(
            decryptor.def,
            &columns,
            &[(self.column, sealed)],
            &decryptor.keys,
        )?;
        let opened = opened.pop().ok_or_else(|| {
            DataFusionError::Internal(format!("`{}` returns no column", self.name))
        })?;
        Ok(ColumnarValue::Array(opened))
    }
}
