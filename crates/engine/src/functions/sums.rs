//! `sum` and `avg` that report overflow; DataFusion's continue with a wrong number.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNumericType, AsArray, BooleanArray, PrimitiveArray};
use arrow::compute::{concat, sum_checked};
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Decimal128Type, Decimal256Type, DecimalType, FieldRef, Int64Type,
    UInt64Type,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF,
    SetMonotonicity, Signature,
};

/// DataFusion's `sum` or `avg`, with overflow as an error.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct CheckedSum {
    inner: Arc<AggregateUDF>,
    /// The position of the sum in the accumulator's state.
    sum_at: usize,
}

impl CheckedSum {
    pub(crate) fn sum(inner: Arc<AggregateUDF>) -> Self {
        Self { inner, sum_at: 0 }
    }

    pub(crate) fn avg(inner: Arc<AggregateUDF>) -> Self {
        Self { inner, sum_at: 1 }
    }

    fn is_sum(&self) -> bool {
        self.sum_at == 0
    }

    /// A second sum that detects overflow; `None` if sums of this type cannot overflow.
    fn overflow_check(&self, args: &AccumulatorArgs) -> Option<Box<dyn CheckedSums>> {
        let of = if self.is_sum() {
            args.return_field.data_type()
        } else {
            args.expr_fields[0].data_type()
        };
        checked_sums(of)
    }
}

/// Checked sums by group, for the types that may overflow.
fn checked_sums(of: &DataType) -> Option<Box<dyn CheckedSums>> {
    Some(match of {
        DataType::Int64 => Box::new(GroupSums::<Int64Type>::new(of, None)),
        DataType::UInt64 => Box::new(GroupSums::<UInt64Type>::new(of, None)),
        DataType::Decimal128(precision, _) => {
            let largest = Decimal128Type::MAX_PRECISION == *precision;
            let largest = largest.then_some(MaxDigits(*precision));
            Box::new(GroupSums::<Decimal128Type>::new(of, largest))
        }
        DataType::Decimal256(..) => Box::new(GroupSums::<Decimal256Type>::new(of, None)),
        _ => return None,
    })
}

impl AggregateUDFImpl for CheckedSum {
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

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.inner().reverse_expr()
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(of)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (overflow_check, is_distinct) = (self.overflow_check(&args), args.is_distinct);
        let ty = args.return_field.data_type().clone();
        let inner = self.inner.accumulator(args)?;
        Ok(match (overflow_check, is_distinct && self.is_sum()) {
            (None, _) => inner,
            (Some(_), true) => Box::new(DistinctSum { inner, ty }),
            // Distinct averages of decimals add few values in a type that is wide enough.
            (Some(_), false) if is_distinct => inner,
            (Some(sums), false) => Box::new(CheckedAccumulator {
                inner,
                sums,
                sum_at: self.sum_at,
            }),
        })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (overflow_check, is_distinct) = (self.overflow_check(&args), args.is_distinct);
        let inner = self.inner.create_sliding_accumulator(args)?;
        Ok(match overflow_check.filter(|_| !is_distinct) {
            None => inner,
            Some(sums) => Box::new(CheckedAccumulator {
                inner,
                sums,
                sum_at: self.sum_at,
            }),
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match self.overflow_check(&args) {
            None => self.inner.create_groups_accumulator(args),
            Some(sums) if self.is_sum() => Ok(sums.into_accumulator()),
            Some(sums) => {
                let inner = self.inner.create_groups_accumulator(args)?;
                let sum_at = self.sum_at;
                Ok(Box::new(CheckedGroups {
                    inner,
                    sums,
                    sum_at,
                }))
            }
        }
    }
}

/// Checked sums by group, independent of the type.
trait CheckedSums: GroupsAccumulator + fmt::Debug + Sync {
    /// Adds values to the only group.
    fn add_all(&mut self, values: &ArrayRef) -> Result<()>;

    /// Removes values from the only group.
    fn retract(&mut self, values: &ArrayRef) -> Result<()>;

    fn into_accumulator(self: Box<Self>) -> Box<dyn GroupsAccumulator>;
}

/// The number of digits of a decimal type.
#[derive(Debug, Clone, Copy)]
struct MaxDigits(u8);

/// One checked sum for each group.
struct GroupSums<T: ArrowNumericType> {
    sums: Vec<T::Native>,
    is_seen: Vec<bool>,
    ty: DataType,
    fits: Option<MaxDigits>,
}

impl<T: ArrowNumericType> fmt::Debug for GroupSums<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sums of {} in {} groups", self.ty, self.sums.len())
    }
}

impl<T: ArrowNumericType> GroupSums<T> {
    fn new(ty: &DataType, fits: Option<MaxDigits>) -> Self {
        Self {
            sums: Vec::new(),
            is_seen: Vec::new(),
            ty: ty.clone(),
            fits,
        }
    }

    fn too_large(&self) -> datafusion::error::DataFusionError {
        exec_datafusion_err!("overflow: a sum is too large for {}", self.ty)
    }

    fn reserve(&mut self, groups: usize) {
        if self.sums.len() < groups {
            self.sums.resize(groups, T::Native::ZERO);
            self.is_seen.resize(groups, false);
        }
    }
}

impl<T: ArrowNumericType> GroupsAccumulator for GroupSums<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.reserve(total);
        let values = values[0].as_primitive::<T>();
        let (sums, is_seen) = (&mut self.sums, &mut self.is_seen);
        let mut fits = true;
        let mut add = |group: usize, value: T::Native| {
            match sums[group].add_checked(value) {
                Ok(sum) => sums[group] = sum,
                Err(_) => fits = false,
            }
            is_seen[group] = true;
        };
        let has_all = values.null_count() == 0 && filter.is_none();
        if has_all {
            for (group, value) in groups.iter().zip(values.values()) {
                add(*group, *value);
            }
        } else {
            let is_wanted =
                |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            for (row, group) in groups.iter().enumerate() {
                if values.is_valid(row) && is_wanted(row) {
                    add(*group, values.value(row));
                }
            }
        }
        match fits {
            true => Ok(()),
            false => Err(self.too_large()),
        }
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let sums = emit.take_needed(&mut self.sums);
        let is_seen = emit.take_needed(&mut self.is_seen);
        let sums = PrimitiveArray::<T>::new(sums.into(), Some(is_seen.into()));
        let sums: ArrayRef = Arc::new(sums.with_data_type(self.ty.clone()));
        if let Some(MaxDigits(precision)) = self.fits {
            let decimals = sums.as_primitive::<Decimal128Type>();
            let fits = decimals.validate_decimal_precision(precision);
            fits.map_err(|_| self.too_large())?;
        }
        Ok(sums)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(filter) = filter else {
            return Ok(vec![Arc::clone(&values[0])]);
        };
        let excluded = arrow::compute::not(&arrow::compute::prep_null_mask_filter(filter))?;
        Ok(vec![arrow::compute::nullif(&values[0], &excluded)?])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.is_seen.capacity()
    }
}

impl<T: ArrowNumericType> CheckedSums for GroupSums<T> {
    fn add_all(&mut self, values: &ArrayRef) -> Result<()> {
        self.reserve(1);
        let sum = sum_checked(values.as_primitive::<T>());
        if let Some(more) = sum.map_err(|_| self.too_large())? {
            let sum = self.sums[0].add_checked(more);
            self.sums[0] = sum.map_err(|_| self.too_large())?;
        }
        Ok(())
    }

    fn retract(&mut self, values: &ArrayRef) -> Result<()> {
        self.reserve(1);
        let sum = sum_checked(values.as_primitive::<T>());
        if let Some(removed) = sum.map_err(|_| self.too_large())? {
            let left = self.sums[0].sub_checked(removed);
            self.sums[0] = left.map_err(|_| self.too_large())?;
        }
        Ok(())
    }

    fn into_accumulator(self: Box<Self>) -> Box<dyn GroupsAccumulator> {
        self
    }
}

/// DataFusion's accumulator by group; a checked sum beside it detects overflow.
struct CheckedGroups {
    inner: Box<dyn GroupsAccumulator>,
    sums: Box<dyn CheckedSums>,
    sum_at: usize,
}

impl GroupsAccumulator for CheckedGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.sums.update_batch(values, groups, filter, total)?;
        self.inner.update_batch(values, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.sums.evaluate(emit)?;
        self.inner.evaluate(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.sums.evaluate(emit)?;
        self.inner.state(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let sums = std::slice::from_ref(&values[self.sum_at]);
        self.sums.merge_batch(sums, groups, total)?;
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size() + self.sums.size()
    }
}

/// DataFusion's accumulator; a checked sum beside it detects overflow.
#[derive(Debug)]
struct CheckedAccumulator {
    inner: Box<dyn Accumulator>,
    sums: Box<dyn CheckedSums>,
    sum_at: usize,
}

impl Accumulator for CheckedAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sums.add_all(&values[0])?;
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.sums.add_all(&states[self.sum_at])?;
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sums.retract(&values[0])?;
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        self.inner.size() + self.sums.size()
    }
}

/// The checked sum of the distinct values that DataFusion's accumulator collects.
#[derive(Debug)]
struct DistinctSum {
    inner: Box<dyn Accumulator>,
    ty: DataType,
}

impl Accumulator for DistinctSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut parts = Vec::new();
        for state in self.inner.state()? {
            let ScalarValue::List(lists) = state else {
                return not_impl_err!("distinct values are expected as a list");
            };
            parts.push(Arc::clone(lists.values()));
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let values = concat(&parts)?;
        let Some(mut sums) = checked_sums(&self.ty) else {
            return self.inner.evaluate();
        };
        sums.update_batch(&[Arc::clone(&values)], &vec![0; values.len()], None, 1)?;
        ScalarValue::try_from_array(&sums.evaluate(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
