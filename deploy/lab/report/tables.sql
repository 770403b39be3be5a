-- What a backtest leaves in ClickHouse beside its one row in `backtests`. A run has an id derived from what it was run on and with,
-- so that the same run stored twice counts once. Money is Int64 micros, times are stream time. Every table may be made again.
CREATE TABLE IF NOT EXISTS {db}.backtest_trades (
  run_id String COMMENT 'The run',
  trade_id String COMMENT 'The trade',
  intent_id String COMMENT 'Its cause',
  pair_id LowCardinality(String) COMMENT 'The pair',
  package LowCardinality(String) COMMENT 'Which outcomes are bought',
  category LowCardinality(String) COMMENT 'Category of leg a',
  state LowCardinality(String) COMMENT 'Last state',
  reason String COMMENT 'Why',
  ts_intent_ns Int64 COMMENT 'Stream time of the intent, Unix ns',
  ts_opened_ns Nullable(Int64) COMMENT 'Of the plan',
  ts_first_fill_ns Nullable(Int64) COMMENT 'Of the first execution',
  ts_hedged_ns Nullable(Int64) COMMENT 'When both legs were held',
  matched_micros Int64 COMMENT 'Quantity held on both legs, micros of a contract',
  residual_micros Int64 COMMENT 'Unmatched contracts',
  edge_planned_micros Int64 COMMENT 'Net edge promised at the planned quantity',
  edge_realised_micros Nullable(Int64) COMMENT 'Net edge locked in; null unless both legs are held',
  slippage_micros Int64 COMMENT 'Against the displayed prices, positive is worse',
  cash_micros Int64 COMMENT 'Cash received less cash paid, without fees',
  fee_micros Int64 COMMENT 'Fees',
  net_micros Int64 COMMENT 'PnL after fees',
  locked_micros Int64 COMMENT 'Part of it that no price can change: matched at worst payout, sold, paid out',
  marked_micros Int64 COMMENT 'Part of it that is marked: unmatched contracts, less their cost',
  unwound_micros Int64 COMMENT 'Part of what is locked in that sales made or lost',
  unwound_contracts_micros Int64 COMMENT 'Contracts sold again',
  unmatched_micros Int64 COMMENT 'Contracts held on one leg only',
  capital_micros Int64 COMMENT 'Paid for what is held, with fees',
  lockup_ns Nullable(Int64) COMMENT 'Until the payout is expected',
  annualised Nullable(Float64) COMMENT 'Return a year, simple interest',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_intent_ns, 'UTC') COMMENT 'ts_intent_ns as a time'
) ENGINE = ReplacingMergeTree ORDER BY (run_id, trade_id) COMMENT 'One row an intent of a backtest'
;
-- Rows of runs from before these columns stay, with zeros in them.
ALTER TABLE {db}.backtest_trades
  ADD COLUMN IF NOT EXISTS locked_micros Int64,
  ADD COLUMN IF NOT EXISTS marked_micros Int64,
  ADD COLUMN IF NOT EXISTS unwound_micros Int64,
  ADD COLUMN IF NOT EXISTS unwound_contracts_micros Int64,
  ADD COLUMN IF NOT EXISTS unmatched_micros Int64
;
CREATE TABLE IF NOT EXISTS {db}.backtest_equity (
  run_id String COMMENT 'The run',
  ts_ns Int64 COMMENT 'Stream time, Unix ns',
  equity_micros Int64 COMMENT 'Net PnL at that moment: matched at worst payout, unmatched at mark',
  drawdown_micros Int64 COMMENT 'Distance to the highest equity so far',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = ReplacingMergeTree ORDER BY (run_id, ts_ns) COMMENT 'Equity of a backtest, thinned to 20,000 points that keep every spike'
;
