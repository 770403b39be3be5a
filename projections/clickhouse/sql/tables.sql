-- Tables of the projection: facts, one row a record, and a few that keep the latest state only.
-- One column a line; a column with DEFAULT is filled by ClickHouse and never sent. {db} is the database of the prefix,
-- {coordinates} the columns that every fact begins with, {facts} the engine that makes a record delivered twice count once.
-- Money, prices and quantities are Int64 micros (10^-6 of a dollar or of a contract). *_ns are Unix nanoseconds.

CREATE TABLE IF NOT EXISTS {db}.logs (
{coordinates}
  ts_ns Int64 COMMENT 'When the log was opened, Unix ns',
  partitions Int32 COMMENT 'Partitions of market under this prefix',
  base_offset Int64 COMMENT 'position = offset - base_offset'
) ENGINE = {facts} COMMENT 'LogOpened: the logs seen under this prefix; the views show the one appended last'
;
CREATE TABLE IF NOT EXISTS {db}.projection_position (
  consumer_group LowCardinality(String) COMMENT 'Consumer group of the projection, with its prefix',
  log_id LowCardinality(String) COMMENT 'The log that the position stands in',
  topic LowCardinality(String) COMMENT 'Topic without the prefix',
  partition Int32 COMMENT 'Partition of the topic',
  next_offset Int64 COMMENT 'Everything below it is in the tables; written after all tables of a batch',
  ts_written DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it was written'
) ENGINE = ReplacingMergeTree(next_offset) ORDER BY (consumer_group, log_id, topic, partition) COMMENT 'How far the projection is; it resumes from here, with overlap'
;
CREATE TABLE IF NOT EXISTS {db}.market_activity (
  log_id LowCardinality(String) COMMENT 'Identity of the log',
  topic LowCardinality(String) COMMENT 'market',
  partition Int32 COMMENT 'Partition of market',
  block_offset Int64 COMMENT 'First offset of the block of 4096 offsets that is counted here',
  instrument_id LowCardinality(String) COMMENT 'The instrument, or a reference',
  second Int64 COMMENT 'Unix second in which the events were received',
  records UInt64 COMMENT 'Events counted so far; the row with the most replaces the others',
  updates UInt64 COMMENT 'Book events: deltas and snapshots that are no keyframes',
  keyframes UInt64 COMMENT 'Repeated snapshots',
  trades UInt64 COMMENT 'Trades of others',
  traded_micros Int64 COMMENT 'Quantity of these trades, micros of a contract',
  prices UInt64 COMMENT 'Prices of a reference: quotes and trades',
  ts DateTime('UTC') DEFAULT toDateTime(second, 'UTC') COMMENT 'The second as a time'
) ENGINE = ReplacingMergeTree(records) ORDER BY (log_id, topic, partition, block_offset, instrument_id, second) COMMENT 'Events of market per instrument and second (bounded: counted in blocks, not row by row)'
;
CREATE TABLE IF NOT EXISTS {db}.instruments (
{coordinates}
  ts_ns Int64 COMMENT 'When it was read, Unix ns',
  instrument_id String COMMENT 'venue:symbol',
  venue LowCardinality(String) COMMENT 'polymarket or kalshi',
  symbol String COMMENT 'Kalshi ticker or Polymarket condition id',
  event_id String COMMENT 'Venue event',
  group_key String COMMENT 'Partition key',
  title String COMMENT 'Question or title as the venue words it',
  category LowCardinality(String) COMMENT 'Category for caps',
  quantity_step_micros Int64 COMMENT 'Quantity step, micros of a contract',
  taker_delay_ms Int32 COMMENT 'How long a taker order is held before matching',
  ts_close_ns Nullable(Int64) COMMENT 'When trading ends, Unix ns; null when unknown',
  ts_payout_expected_ns Nullable(Int64) COMMENT 'When the payout is expected, Unix ns; null when unknown',
  ts_game_start_ns Nullable(Int64) COMMENT 'Start of the game, Unix ns; null when there is none',
  volume_micros Nullable(Int64) COMMENT 'Traded volume as the venue counts, micros; null when unknown',
  status LowCardinality(String) COMMENT 'active, paused or closed',
  fee_schedule_model LowCardinality(String) COMMENT 'Fee model',
  fee_schedule_taker_rate_ppm Int64 COMMENT 'Taker rate, parts per million',
  fee_schedule_hash String COMMENT 'Hash of the fee schedule in force',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = ReplacingMergeTree(ts_append_ms) ORDER BY (log_id, instrument_id) COMMENT 'InstrumentListed: the latest listing of each instrument'
;
CREATE TABLE IF NOT EXISTS {db}.pairs (
{coordinates}
  ts_ns Int64 COMMENT 'When it was relayed, Unix ns',
  pair_id String COMMENT 'The pair',
  listed Bool COMMENT 'False once it was delisted',
  relation LowCardinality(String) COMMENT 'identity or complement; empty when delisted',
  instrument_a String COMMENT 'First instrument; empty when delisted',
  instrument_b String COMMENT 'Second instrument; empty when delisted',
  haircut_micros Int64 COMMENT 'Taken off the worst payout, micros a contract',
  evidence String COMMENT 'Why the two are judged to resolve so; when delisted: why',
  approved_by LowCardinality(String) COMMENT 'Who approved it',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = ReplacingMergeTree(ts_append_ms) ORDER BY (log_id, pair_id, listed) COMMENT 'PairListed and PairDelisted: the latest of each for every pair'
;
CREATE TABLE IF NOT EXISTS {db}.settlements (
{coordinates}
  ts_ns Int64 COMMENT 'When we learnt it, Unix ns',
  ts_venue_ns Nullable(Int64) COMMENT 'When the venue says it settled; null when it does not',
  instrument_id String COMMENT 'The instrument',
  payout_yes_micros Int64 COMMENT 'What one YES contract pays; NO pays 1000000 minus it',
  source String COMMENT 'Where it was read',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'InstrumentSettled'
;
CREATE TABLE IF NOT EXISTS {db}.feed_status (
{coordinates}
  ts_ns Int64 COMMENT 'When it was written, Unix ns',
  feed LowCardinality(String) COMMENT 'Name of the feed',
  venue LowCardinality(String) COMMENT 'Its venue; empty for a reference feed',
  session Int64 COMMENT 'Session that the state speaks of',
  state LowCardinality(String) COMMENT 'live, resync, down or ended',
  reason String COMMENT 'Why; empty while live',
  ts_data_ns Nullable(Int64) COMMENT 'When the last data frame came; null before the first',
  clock_offset_ns Nullable(Int64) COMMENT 'Venue stamp minus receive stamp; null when unknown',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} TTL toDateTime(ts_append) + INTERVAL 28 DAY COMMENT 'FeedStatus and ReferenceStatus, 28 days'
;
CREATE TABLE IF NOT EXISTS {db}.venue_status (
{coordinates}
  ts_ns Int64 COMMENT 'When it was learnt, Unix ns',
  venue LowCardinality(String) COMMENT 'polymarket or kalshi',
  exchange_active Bool COMMENT 'False while the whole exchange is paused',
  trading_active Bool COMMENT 'False while no order is taken, or the venue does not say',
  ts_resume_ns Nullable(Int64) COMMENT 'When the venue expects to resume; null when it does not say',
  reason String COMMENT 'Why it, or a shard of it, does not trade; empty when all of it does',
  keyframe Bool COMMENT 'True when nothing changed since the last one',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'VenueStatus: when a venue traded, as it said itself'
;
CREATE TABLE IF NOT EXISTS {db}.configurations (
{coordinates}
  ts_ns Int64 COMMENT 'When it was stated, Unix ns',
  record LowCardinality(String) COMMENT 'MarketConfigured, StrategyConfigured, FrictionPack or ExecutorConfigured',
  hash String COMMENT 'Code digest, or hash of the friction pack',
  body String COMMENT 'The whole record as JSON',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'Settings under which decide and execute work, from where on'
;
CREATE TABLE IF NOT EXISTS {db}.tops (
{coordinates}
  ts_ns Int64 COMMENT 'Stream time of the cause, Unix ns',
  position Int64 COMMENT 'Position of the cause in its partition of market',
  instrument_id LowCardinality(String) COMMENT 'The instrument, or the reference',
  valid Bool COMMENT 'False when the book has a hole, is crossed or was dropped',
  fresh Bool COMMENT 'False when its feed is stale or its poll too old',
  bid_price_micros Nullable(Int64) COMMENT 'Best YES bid; null: no bid',
  bid_size_micros Nullable(Int64) COMMENT 'Size at it, micros of a contract',
  ask_price_micros Nullable(Int64) COMMENT 'Best YES ask; null: no ask',
  ask_size_micros Nullable(Int64) COMMENT 'Size at it, micros of a contract',
  ts_received_ns Int64 COMMENT 'When the event that last changed the book was received, Unix ns',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} TTL toDateTime(ts_append) + INTERVAL 28 DAY COMMENT 'TopOfBook and ReferenceTop, 28 days; book_roll_up stays'
;
CREATE TABLE IF NOT EXISTS {db}.book_states (
  log_id LowCardinality(String) COMMENT 'Identity of the log',
  instrument_id LowCardinality(String) COMMENT 'The instrument',
  second Int64 COMMENT 'Unix second of stream time',
  open AggregateFunction(argMin, Int64, Tuple(Int64, Int64)) COMMENT 'First mid',
  high AggregateFunction(max, Int64) COMMENT 'Highest mid',
  low AggregateFunction(min, Int64) COMMENT 'Lowest mid',
  close AggregateFunction(argMax, Int64, Tuple(Int64, Int64)) COMMENT 'Last mid',
  bid AggregateFunction(argMax, Int64, Tuple(Int64, Int64)) COMMENT 'Last best bid',
  ask AggregateFunction(argMax, Int64, Tuple(Int64, Int64)) COMMENT 'Last best ask',
  tops AggregateFunction(uniqExact, Tuple(Int32, Int64)) COMMENT 'Tops in it, by their offsets: one delivered twice counts once'
) ENGINE = AggregatingMergeTree ORDER BY (log_id, instrument_id, second) COMMENT 'States behind book_roll_up'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.tops_to_book_states TO {db}.book_states AS
SELECT log_id, instrument_id, intDiv(ts_ns, 1000000000) AS second,
  argMinState(intDiv(assumeNotNull(bid_price_micros) + assumeNotNull(ask_price_micros), 2), (ts_ns, position)) AS open,
  maxState(intDiv(assumeNotNull(bid_price_micros) + assumeNotNull(ask_price_micros), 2)) AS high,
  minState(intDiv(assumeNotNull(bid_price_micros) + assumeNotNull(ask_price_micros), 2)) AS low,
  argMaxState(intDiv(assumeNotNull(bid_price_micros) + assumeNotNull(ask_price_micros), 2), (ts_ns, position)) AS close,
  argMaxState(assumeNotNull(bid_price_micros), (ts_ns, position)) AS bid,
  argMaxState(assumeNotNull(ask_price_micros), (ts_ns, position)) AS ask,
  uniqExactState((partition, offset)) AS tops
FROM {db}.tops
WHERE valid AND bid_price_micros IS NOT NULL AND ask_price_micros IS NOT NULL
GROUP BY log_id, instrument_id, second
;
CREATE TABLE IF NOT EXISTS {db}.last_top_states (
  log_id LowCardinality(String) COMMENT 'Identity of the log',
  instrument_id LowCardinality(String) COMMENT 'The instrument',
  last AggregateFunction(argMax, Tuple(Int64, Bool, Bool, Nullable(Int64), Nullable(Int64), Nullable(Int64), Nullable(Int64)), Tuple(Int64, Int64)) COMMENT 'Latest top: ts_ns, valid, fresh, bid, bid size, ask, ask size',
  mark AggregateFunction(argMaxIf, Int64, Tuple(Int64, Int64), UInt8) COMMENT 'Mid of the latest valid two-sided top'
) ENGINE = AggregatingMergeTree ORDER BY (log_id, instrument_id) COMMENT 'States behind last_tops'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.tops_to_last_top_states TO {db}.last_top_states AS
SELECT log_id, instrument_id,
  argMaxState((ts_ns, valid, fresh, bid_price_micros, bid_size_micros, ask_price_micros, ask_size_micros), (ts_ns, position)) AS last,
  argMaxIfState(intDiv(ifNull(bid_price_micros, 0) + ifNull(ask_price_micros, 0), 2), (ts_ns, position),
    toUInt8(valid AND bid_price_micros IS NOT NULL AND ask_price_micros IS NOT NULL)) AS mark
FROM {db}.tops
GROUP BY log_id, instrument_id
;
CREATE TABLE IF NOT EXISTS {db}.edges (
{coordinates}
{edge_columns}
) ENGINE = {facts} TTL toDateTime(ts_append) + INTERVAL 28 DAY COMMENT 'EdgeUpdate, 28 days. All amounts are totals of the quantity quoted, micros of a dollar'
;
CREATE TABLE IF NOT EXISTS {db}.last_edges (
{coordinates}
{edge_columns}
) ENGINE = ReplacingMergeTree(offset) ORDER BY (log_id, topic, partition, strategy, pair_id, package) COMMENT 'The latest EdgeUpdate of each package, kept by last_edges_from_edges'
;
CREATE MATERIALIZED VIEW IF NOT EXISTS {db}.last_edges_from_edges TO {db}.last_edges AS
SELECT * FROM {db}.edges
;
CREATE TABLE IF NOT EXISTS {db}.edge_statistics (
{coordinates}
  ts_ns Int64 COMMENT 'Stream time of the cause, Unix ns',
  position Int64 COMMENT 'Position of the cause in its partition of market',
  strategy LowCardinality(String) COMMENT 'Strategy that counts',
  pair_id LowCardinality(String) COMMENT 'The pair',
  package LowCardinality(String) COMMENT 'Which outcomes are bought',
  evaluations Int64 COMMENT 'Times it was evaluated with both books valid and fresh',
  gross_positive Int64 COMMENT 'Of these, gross > 0 at the displayed size of the tops',
  net_positive Int64 COMMENT 'Of these, net > 0',
  episodes Int64 COMMENT 'Runs of consecutive evaluations with net > 0',
  at_threshold Int64 COMMENT 'Evaluations with net per contract >= the threshold',
  episodes_at_threshold Int64 COMMENT 'Runs of consecutive evaluations at or above the threshold',
  net_best_micros Nullable(Int64) COMMENT 'Best net per contract so far; null before the first gross > 0',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = ReplacingMergeTree(offset) ORDER BY (log_id, topic, partition, strategy, pair_id, package) COMMENT 'EdgeStatistics: counters since the log began, so the latest of each package says all'
;
CREATE TABLE IF NOT EXISTS {db}.watermarks (
{coordinates}
  ts_ns Int64 COMMENT 'Stream time at that position, Unix ns',
  position Int64 COMMENT 'decide has folded everything up to it',
  intents Int64 COMMENT 'Intents of the partition so far',
  clamped Int64 COMMENT 'Events with a stamp behind stream time so far',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} TTL toDateTime(ts_append) + INTERVAL 28 DAY COMMENT 'Watermark, 28 days'
;
CREATE TABLE IF NOT EXISTS {db}.intents (
{coordinates}
  ts_ns Int64 COMMENT 'Stream time of the cause, Unix ns',
  ts_received_ns Int64 COMMENT 'When the causing event was received, Unix ns',
  position Int64 COMMENT 'Position of the cause in its partition of market',
  number Int64 COMMENT 'Number of the intent in its partition, from 1',
  intent_id String COMMENT 'Derived from the cause',
  strategy LowCardinality(String) COMMENT 'Who wants it',
  pair_id LowCardinality(String) COMMENT 'The pair',
  package LowCardinality(String) COMMENT 'Which outcomes are bought',
  quantity_micros Int64 COMMENT 'Quantity of each leg, micros of a contract',
  legs_instrument_id Array(LowCardinality(String)) COMMENT 'Instrument of each leg, in the order of the pair',
  legs_venue Array(LowCardinality(String)) COMMENT 'Venue of each leg',
  legs_outcome Array(LowCardinality(String)) COMMENT 'Outcome bought at each leg',
  legs_price_limit_micros Array(Int64) COMMENT 'Worst price wanted at each leg, in the outcome''s terms',
  legs_cost_micros Array(Int64) COMMENT 'Displayed cost of the quantity at each leg',
  legs_fee_micros Array(Int64) COMMENT 'Exact taker fee of the quantity at each leg',
  legs_payout_unit_micros Array(Int64) COMMENT 'What the venue of each leg floors a payout to',
  payout_micros Int64 COMMENT 'Worst admissible payout minus haircut, total',
  gross_micros Int64 COMMENT 'payout minus both costs',
  friction_micros Int64 COMMENT 'Gas, currency and on-ramp',
  lockup_micros Int64 COMMENT 'Return forgone until the expected payout',
  net_micros Int64 COMMENT 'Net edge of the quantity',
  net_per_contract_micros Int64 COMMENT 'Net edge a contract, floored',
  valid_until_ns Int64 COMMENT 'Not to be acted on after this stream time',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'TradeIntent'
;
CREATE TABLE IF NOT EXISTS {db}.intents_seen (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  intent_intent_id String COMMENT 'The intent',
  ts_seen_ns Int64 COMMENT 'Wall clock when it was read, Unix ns',
  leader_advised Nullable(String) COMMENT 'Leader that lead-lag advised then; null: none',
  advice_id Nullable(String) COMMENT 'Id of that advice; null: none',
  lag_ns Int64 COMMENT 'How far the executor''s wall clock was past ts_ns; 0 where stamps are recorded ones',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'IntentSeen: intents that reached the executor'
;
CREATE TABLE IF NOT EXISTS {db}.lead_lag (
{coordinates}
  ts_ns Int64 COMMENT 'Stream time at which the window was closed, Unix ns',
  lead_lag_id String COMMENT 'Log, group, names and end of the window; written at least once',
  group_key LowCardinality(String) COMMENT 'The group',
  instrument_a LowCardinality(String) COMMENT 'First of the two, an instrument or a reference',
  instrument_b LowCardinality(String) COMMENT 'Second of the two',
  ts_window_start_ns Int64 COMMENT 'Start of the window, Unix ns',
  ts_window_end_ns Int64 COMMENT 'End of the window, Unix ns',
  bar_ns Int64 COMMENT 'Length of a bar, ns',
  bars Int64 COMMENT 'Bars in which both are known',
  lag_ns Nullable(Int64) COMMENT 'Lag by bars; positive: a leads; null: nothing computed',
  correlation_ppm Nullable(Int64) COMMENT 'Correlation of bar returns at that lag',
  correlation_placebo_ppm Nullable(Int64) COMMENT 'What chance reaches',
  window_leader Nullable(String) COMMENT 'Leader of the window by bars; null: none',
  hy_lag_ns Nullable(Int64) COMMENT 'Lag by ticks (Hayashi-Yoshida); positive: a leads; null: nothing computed',
  hy_correlation_ppm Nullable(Int64) COMMENT 'Correlation at that lag',
  hy_ratio_ppm Nullable(Int64) COMMENT 'Lead-lag ratio; above 1000000: a leads',
  hy_correlation_placebo_ppm Nullable(Int64) COMMENT 'What chance reaches',
  hy_leader Nullable(String) COMMENT 'Leader of the window by ticks; null: none',
  votes Int64 COMMENT 'How many of the last four windows name the leader',
  leader Nullable(String) COMMENT 'The advice; null: none',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = ReplacingMergeTree(ts_append_ms) ORDER BY (log_id, lead_lag_id) TTL toDateTime(ts_append) + INTERVAL 28 DAY COMMENT 'LeadLag, one row a window and pair, 28 days'
;
CREATE TABLE IF NOT EXISTS {db}.plans (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  trade_id String COMMENT 'The trade',
  intent_id String COMMENT 'Its cause',
  pair_id LowCardinality(String) COMMENT 'The pair',
  quantity_micros Int64 COMMENT 'Quantity planned for each leg, micros of a contract',
  leader_instrument_id LowCardinality(String) COMMENT 'Instrument of the first order',
  leader_outcome LowCardinality(String) COMMENT 'Its outcome',
  leader_price_worst_micros Int64 COMMENT 'Its worst price, in the outcome''s terms',
  leader_time_in_force LowCardinality(String) COMMENT 'Its time in force',
  orders_max Int32 COMMENT 'How many orders may follow at most: hedge attempts and unwinds of every way',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'TradePlan: what a trade may send, committed before its first byte leaves'
;
CREATE TABLE IF NOT EXISTS {db}.last_tops_seen (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  market_partition Int32 COMMENT 'Partition of market that the book is in',
  instrument_id LowCardinality(String) COMMENT 'The instrument',
  usable Bool COMMENT 'Book valid and fresh, the market open',
  bid_price_micros Nullable(Int64) COMMENT 'Best bid, YES terms; null: none',
  ask_price_micros Nullable(Int64) COMMENT 'Best ask, YES terms; null: none',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = ReplacingMergeTree(sequence) ORDER BY (log_id, portfolio, market_partition, instrument_id) COMMENT 'TopSeen: the last top of each book that a portfolio''s executor saw, what it marks unmatched contracts by'
;
CREATE TABLE IF NOT EXISTS {db}.order_requests (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  order_id String COMMENT 'Ours, the idempotency key',
  trade_id String COMMENT 'The trade',
  role LowCardinality(String) COMMENT 'leader, hedge or unwind',
  attempt Int32 COMMENT 'Attempt in its role, from 1',
  instrument_id LowCardinality(String) COMMENT 'The instrument',
  venue LowCardinality(String) COMMENT 'Its venue',
  outcome LowCardinality(String) COMMENT 'Outcome bought or sold',
  side LowCardinality(String) COMMENT 'buy or sell',
  price_limit_micros Int64 COMMENT 'Worst price, in the outcome''s terms',
  quantity_micros Int64 COMMENT 'Quantity, micros of a contract',
  time_in_force LowCardinality(String) COMMENT 'fill_or_kill or immediate_or_cancel',
  reduce_only Bool COMMENT 'May only shrink a position',
  send_before_ns Int64 COMMENT 'May not leave after this moment, Unix ns',
  reserved_micros Int64 COMMENT 'Cash held back for it',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'OrderRequested'
;
CREATE TABLE IF NOT EXISTS {db}.order_departures (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'When the order left, wall clock of the executor, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  trade_id String COMMENT 'The trade',
  order_id String COMMENT 'The order',
  lag_ns Int64 COMMENT 'How long after its request it left',
  withheld Bool COMMENT 'It would have opened a trade too late and never left',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'OrderSent: orders that left later than the terms assume, or never'
;
CREATE TABLE IF NOT EXISTS {db}.order_reports (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  report_id String COMMENT 'Order and number of the report',
  order_id String COMMENT 'Ours',
  venue_order_id String COMMENT 'Theirs; empty when unknown',
  trade_id String COMMENT 'The trade',
  ts_venue_ns Nullable(Int64) COMMENT 'When it happened at the venue; null when unknown',
  order_status LowCardinality(String) COMMENT 'State of the order after this report',
  cumulative_quantity_micros Int64 COMMENT 'Filled so far, micros of a contract',
  leaves_quantity_micros Int64 COMMENT 'Still open at the venue',
  last_quantity_micros Int64 COMMENT 'Filled by this report; 0 when it is no execution',
  last_price_micros Int64 COMMENT 'Price of it, in the outcome''s terms',
  last_fee_micros Int64 COMMENT 'Net fee of it',
  fill_id String COMMENT 'Id of the execution; empty when it is none',
  liquidity LowCardinality(String) COMMENT 'taker or maker',
  finality LowCardinality(String) COMMENT 'provisional or final',
  reversed Bool COMMENT 'Takes back the execution fill_id',
  reason String COMMENT 'Why, in the venue''s words',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'OrderReport'
;
CREATE TABLE IF NOT EXISTS {db}.trade_updates (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  trade_id String COMMENT 'The trade',
  intent_id String COMMENT 'Its cause',
  pair_id LowCardinality(String) COMMENT 'The pair',
  package LowCardinality(String) COMMENT 'Which outcomes are bought',
  state LowCardinality(String) COMMENT 'New state',
  reason String COMMENT 'Why; empty when as planned',
  quantity_a_micros Int64 COMMENT 'Held at leg a, micros of a contract',
  quantity_b_micros Int64 COMMENT 'Held at leg b, micros of a contract',
  residual_micros Int64 COMMENT 'Unmatched contracts, a - b, micros of a contract',
  cost_micros Int64 COMMENT 'Cash paid minus received on both legs, without fees',
  fee_micros Int64 COMMENT 'Fees so far',
  edge_micros Int64 COMMENT 'Net edge promised by the intent at the planned quantity',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'TradeUpdate'
;
CREATE TABLE IF NOT EXISTS {db}.venue_holds (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  venue LowCardinality(String) COMMENT 'The venue that takes no new trade',
  state LowCardinality(String) COMMENT 'reduce_only: a stuck trade holds it; breaker: it rejected too many orders in a row',
  ts_until_ns Int64 COMMENT 'When it ends by itself, Unix ns; 0: only a resume of this venue ends it',
  trade_id String COMMENT 'The stuck trade, or that of the last rejected order',
  reason String COMMENT 'Why the venue is held',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'VenueHeld'
;
CREATE TABLE IF NOT EXISTS {db}.payouts_booked (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  market_partition Int32 COMMENT 'Partition of market that the instrument settled in',
  position Int64 COMMENT 'Position in it up to which the executor had folded',
  instrument_id LowCardinality(String) COMMENT 'The instrument',
  payout_yes_micros Int64 COMMENT 'What one YES contract pays; NO pays the rest of a dollar',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'PayoutBooked: payouts of what was held, as the ledger has them'
;
CREATE TABLE IF NOT EXISTS {db}.lag_watches (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  lagging Bool COMMENT 'Whether no trade opens from here on',
  lag_ns Int64 COMMENT 'The lag that was measured, ns',
  limit_ns Int64 COMMENT 'Its limit then, ns; 0: nobody watches',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'LagWatched: when the executor was too far behind the broker to open trades'
;
CREATE TABLE IF NOT EXISTS {db}.latencies (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  trade_id String COMMENT 'The trade',
  kind LowCardinality(String) COMMENT 'tick_to_plan or hedge',
  ts_start_ns Int64 COMMENT 'Wall clock at the start, Unix ns',
  ts_end_ns Int64 COMMENT 'Wall clock at the end, Unix ns',
  latency_ns Int64 COMMENT 'What it took, venue latency taken out, ns',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'LatencyObserved'
;
CREATE TABLE IF NOT EXISTS {db}.fills (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  fill_id String COMMENT 'Id of the execution',
  order_id String COMMENT 'Ours',
  trade_id String COMMENT 'The trade',
  intent_id String COMMENT 'Its cause',
  pair_id LowCardinality(String) COMMENT 'The pair',
  category LowCardinality(String) COMMENT 'Category of the instrument',
  role LowCardinality(String) COMMENT 'leader, hedge or unwind',
  instrument_id LowCardinality(String) COMMENT 'The instrument',
  venue LowCardinality(String) COMMENT 'Its venue',
  outcome LowCardinality(String) COMMENT 'Outcome bought or sold',
  side LowCardinality(String) COMMENT 'buy or sell that outcome',
  price_micros Int64 COMMENT 'Price in the outcome''s terms',
  price_planned_micros Int64 COMMENT 'Displayed average price at the intent; slippage is measured from it',
  quantity_micros Int64 COMMENT 'Quantity, micros of a contract',
  fee_micros Int64 COMMENT 'Net fee',
  liquidity LowCardinality(String) COMMENT 'taker or maker',
  schedule_hash String COMMENT 'Hash of the fee schedule it was charged by',
  finality LowCardinality(String) COMMENT 'As first reported: provisional until FillConfirmed',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'Fill, reversed ones included; valid_fills leaves those out'
;
CREATE TABLE IF NOT EXISTS {db}.fill_finality (
{coordinates}
  sequence Int64 COMMENT 'Number in the journal',
  ts_ns Int64 COMMENT 'The executor''s now, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose journal it stands in',
  life Int32 COMMENT 'Life of the executor that wrote it',
  strategy LowCardinality(String) COMMENT 'Strategy that the trade follows',
  fill_id String COMMENT 'The execution',
  trade_id String COMMENT 'The trade',
  state LowCardinality(String) COMMENT 'confirmed or reversed',
  reason String COMMENT 'Why it was reversed, in the venue''s words',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'FillConfirmed and FillReversed'
;
CREATE TABLE IF NOT EXISTS {db}.controls (
{coordinates}
  ts_ns Int64 COMMENT 'When it was said, or when it took effect, Unix ns',
  portfolio LowCardinality(String) COMMENT 'Portfolio whose executor says so; empty for what was said to all',
  record LowCardinality(String) COMMENT 'Record type; ControlApplied is the executor''s acknowledgement, HaltedByFile what a KILL file did',
  operator LowCardinality(String) COMMENT 'Who said it; empty for a file',
  subject String COMMENT 'What it is about: pair, scope, limit, setting or code digest',
  value String COMMENT 'New state or value; empty when there is none',
  reason String COMMENT 'Why; empty when it carries none',
  body String COMMENT 'The whole record as JSON',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} COMMENT 'What operators and starting stages said, and what took effect'
;
CREATE TABLE IF NOT EXISTS {db}.dead_letters (
{coordinates}
  ts_ns Int64 COMMENT 'When it was put aside, Unix ns',
  stage LowCardinality(String) COMMENT 'Who could not use it',
  source String COMMENT 'Topic or feed that it came from',
  source_partition Nullable(Int32) COMMENT 'Partition in it; null for a feed',
  source_offset Nullable(Int64) COMMENT 'Offset in it; null for a feed',
  error String COMMENT 'What is wrong with it',
  bytes UInt64 COMMENT 'Its length; the bytes themselves stay in the topic',
  ts DateTime64(9, 'UTC') DEFAULT fromUnixTimestamp64Nano(ts_ns, 'UTC') COMMENT 'ts_ns as a time'
) ENGINE = {facts} TTL toDateTime(ts_append) + INTERVAL 28 DAY COMMENT 'DeadLetter, 28 days'
;
