-- Views over the deduplicated facts of the log that was appended last. {current} is its log_id.
-- Every money column is Int64 micros. FINAL makes a record that was delivered twice count once.

-- An execution counts unless it was reversed. cash_micros: what moved, without fees; a purchase is rounded up to a micro and a
-- sale down, as the ledger does it.
CREATE OR REPLACE VIEW {db}.valid_fills AS
SELECT *,
  if(side = 'buy',
     -toInt64(intDiv(toInt128(price_micros) * quantity_micros + 999999, 1000000)),
     toInt64(intDiv(toInt128(price_micros) * quantity_micros, 1000000))) AS cash_micros,
  fill_id IN (SELECT fill_id FROM {db}.fill_finality WHERE log_id = {current} AND state = 'confirmed') OR finality = 'final' AS is_final
FROM {db}.fills FINAL
WHERE log_id = {current}
  AND fill_id NOT IN (SELECT fill_id FROM {db}.fill_finality WHERE log_id = {current} AND state = 'reversed')
COMMENT 'Executions that stand: reversed ones are left out'
;
CREATE OR REPLACE VIEW {db}.last_tops AS
SELECT instrument_id,
  argMaxMerge(last) AS top,
  tupleElement(top, 1) AS ts_ns,
  tupleElement(top, 2) AS valid,
  tupleElement(top, 3) AS fresh,
  tupleElement(top, 4) AS bid_price_micros,
  tupleElement(top, 5) AS bid_size_micros,
  tupleElement(top, 6) AS ask_price_micros,
  tupleElement(top, 7) AS ask_size_micros
FROM {db}.last_top_states
WHERE log_id = {current}
GROUP BY instrument_id
COMMENT 'The latest top of each instrument, in YES terms'
;
-- The payout where there is one, else the mid of the last valid top that had both sides. priced is false where neither is known.
CREATE OR REPLACE VIEW {db}.marks AS
SELECT instrument_id,
  max(settlement) IS NOT NULL AS settled,
  assumeNotNull(coalesce(max(settlement), nullIf(max(mid), -1), 0)) AS mark_yes_micros,
  settled OR max(mid) >= 0 AS priced
FROM (
  SELECT toString(instrument_id) AS instrument_id, NULL AS settlement, if(known = 0, -1, merged) AS mid
  FROM (
    SELECT instrument_id, argMaxIfMerge(mark) AS merged, toUInt8(merged > 0) AS known
    FROM {db}.last_top_states WHERE log_id = {current} GROUP BY instrument_id
  )
  UNION ALL
  SELECT instrument_id, argMax(payout_yes_micros, ts_append_ms) AS settlement, -1 AS mid
  FROM {db}.settlements WHERE log_id = {current} GROUP BY instrument_id
)
GROUP BY instrument_id
COMMENT 'What one YES contract is worth now: payout if settled, else mid of the last valid two-sided top'
;
-- average_cost = cost of all purchases / quantity of all purchases (fees apart), floored. YES and NO of one instrument are shown
-- apart, though a venue may net them.
CREATE OR REPLACE VIEW {db}.positions AS
SELECT p.instrument_id AS instrument_id, p.outcome AS outcome, p.venue AS venue,
  p.quantity AS quantity_micros,
  toInt64(intDiv(toInt128(p.spent) * 1000000, greatest(p.bought, 1))) AS average_cost_micros,
  p.fees AS fee_micros,
  m.settled AS settled,
  m.priced AS priced,
  if(p.outcome = 'yes', m.mark_yes_micros, 1000000 - m.mark_yes_micros) AS mark_micros,
  toInt64(intDiv(toInt128(p.quantity) * mark_micros, 1000000)) AS value_micros
FROM (
  SELECT toString(instrument_id) AS instrument_id, outcome, any(venue) AS venue,
    sum(if(side = 'buy', quantity_micros, -quantity_micros)) AS quantity,
    sumIf(quantity_micros, side = 'buy') AS bought,
    -sumIf(cash_micros, side = 'buy') AS spent,
    sum(fee_micros) AS fees
  FROM {db}.valid_fills GROUP BY instrument_id, outcome
) AS p
LEFT JOIN {db}.marks AS m ON m.instrument_id = p.instrument_id
COMMENT 'Holdings per instrument and outcome: quantity, average cost, mark, value'
;
-- PnL of a trade at one instrument. In YES terms a purchase is a YES bought or a NO sold, a sale a YES sold or a NO bought
-- (buying NO at q is selling YES at 1 - q and locking 1 dollar up).
--   gross      = cash received - cash paid + value of what is held (NO + YES of one instrument are worth 1 together)
--   net        = gross - fees
--   closed     = min(bought, sold) in YES terms
--   realised   = sold value * closed / sold - bought value * closed / bought - the same shares of the fees; all of net once settled
--   unrealised = net - realised
-- Divisions truncate to the micro. A holding whose instrument was never priced is valued at what it cost.
CREATE OR REPLACE VIEW {db}.pnl_legs AS
SELECT l.trade_id AS trade_id, l.instrument_id AS instrument_id, l.venue AS venue, l.pair_id AS pair_id,
  l.yes_quantity AS yes_micros, l.no_quantity AS no_micros,
  l.cash AS cash_micros, l.fees AS fee_micros,
  m.settled AS settled, m.priced AS priced,
  least(l.bought, l.sold) AS closed_micros,
  toInt64(intDiv(toInt128(l.sold_value) * closed_micros, greatest(l.sold, 1)))
    - toInt64(intDiv(toInt128(l.bought_value) * closed_micros, greatest(l.bought, 1))) AS closed_gross,
  toInt64(intDiv(toInt128(l.sold_fees) * closed_micros, greatest(l.sold, 1)))
    + toInt64(intDiv(toInt128(l.bought_fees) * closed_micros, greatest(l.bought, 1))) AS closed_fees,
  if(m.priced,
     l.cash + toInt64(intDiv(toInt128(l.yes_quantity) * m.mark_yes_micros + toInt128(l.no_quantity) * (1000000 - m.mark_yes_micros), 1000000)),
     closed_gross) AS gross_micros,
  gross_micros - l.fees AS net_micros,
  if(m.settled, net_micros, closed_gross - closed_fees) AS realised_micros,
  net_micros - realised_micros AS unrealised_micros
FROM (
  SELECT trade_id, toString(instrument_id) AS instrument_id, any(venue) AS venue, any(pair_id) AS pair_id,
    sumIf(if(side = 'buy', quantity_micros, -quantity_micros), outcome = 'yes') AS yes_quantity,
    sumIf(if(side = 'buy', quantity_micros, -quantity_micros), outcome = 'no') AS no_quantity,
    sum(cash_micros) AS cash,
    sum(fee_micros) AS fees,
    sumIf(quantity_micros, (outcome = 'yes') = (side = 'buy')) AS bought,
    sumIf(quantity_micros, (outcome = 'yes') != (side = 'buy')) AS sold,
    sumIf(if(outcome = 'yes', -cash_micros, quantity_micros - cash_micros), (outcome = 'yes') = (side = 'buy')) AS bought_value,
    sumIf(if(outcome = 'yes', cash_micros, quantity_micros + cash_micros), (outcome = 'yes') != (side = 'buy')) AS sold_value,
    sumIf(fee_micros, (outcome = 'yes') = (side = 'buy')) AS bought_fees,
    sumIf(fee_micros, (outcome = 'yes') != (side = 'buy')) AS sold_fees
  FROM {db}.valid_fills GROUP BY trade_id, instrument_id
) AS l
LEFT JOIN {db}.marks AS m ON m.instrument_id = l.instrument_id
COMMENT 'PnL per trade and instrument; formulas in projections/sql/views.sql'
;
CREATE OR REPLACE VIEW {db}.pnl AS
SELECT trade_id, any(pair_id) AS pair,
  sum(gross_micros) AS gross, sum(fee_micros) AS fees, sum(net_micros) AS net,
  sum(realised_micros) AS realised, sum(unrealised_micros) AS unrealised,
  min(priced) AS all_priced
FROM {db}.pnl_legs GROUP BY trade_id
COMMENT 'PnL per trade, micros: gross, fees, net = gross - fees = realised + unrealised; mark = mid, settled = payout'
;
CREATE OR REPLACE VIEW {db}.pnl_total AS
SELECT sum(gross) AS gross_micros, sum(fees) AS fees_micros, sum(net) AS net_micros,
  sum(realised) AS realised_micros, sum(unrealised) AS unrealised_micros, count() AS trades
FROM {db}.pnl
COMMENT 'PnL of everything, one row'
;
CREATE OR REPLACE VIEW {db}.orders AS
SELECT q.trade_id AS trade_id, q.order_id AS order_id, q.role AS role, q.attempt AS attempt, q.instrument_id AS instrument_id,
  q.outcome AS outcome, q.side AS side, q.price_limit_micros AS price_limit_micros, q.quantity_micros AS quantity_micros,
  if(r.order_id = '', 'requested', r.status) AS status, r.filled AS filled_micros, r.why AS reason, q.ts AS ts_requested
FROM (SELECT * FROM {db}.order_requests FINAL WHERE log_id = {current}) AS q
LEFT JOIN (
  SELECT order_id, argMax(order_status, sequence) AS status, max(cumulative_quantity_micros) AS filled, argMax(reason, sequence) AS why
  FROM {db}.order_reports WHERE log_id = {current} GROUP BY order_id
) AS r ON r.order_id = q.order_id
COMMENT 'Every order with its last reported state'
;
-- unwound: flat after something was filled. locked = worst payout of the matched quantity - cost - fees, for hedged trades only.
CREATE OR REPLACE VIEW {db}.trades AS
SELECT u.trade_id AS trade_id, u.intent_id AS intent_id, u.pair_id AS pair_id, u.package AS package, u.state AS state, u.reason AS reason,
  f.fills > 0 AND u.state = 'flat' AS unwound,
  u.quantity_a_micros AS quantity_a_micros, u.quantity_b_micros AS quantity_b_micros, u.residual_micros AS residual_micros,
  u.cost_micros AS cost_micros, u.fee_micros AS fee_micros, u.edge_micros AS edge_micros,
  i.quantity_micros AS intent_quantity_micros, i.payout_micros AS intent_payout_micros,
  i.friction_micros AS intent_friction_micros, i.lockup_micros AS intent_lockup_micros,
  i.leg_a_instrument_id AS instrument_a, i.leg_a_outcome AS outcome_a, i.leg_b_instrument_id AS instrument_b, i.leg_b_outcome AS outcome_b,
  f.spent_a AS spent_a, f.spent_b AS spent_b,
  toInt64(intDiv(toInt128(f.spent_a) * 1000000, greatest(f.bought_a, 1))) AS price_a_micros,
  toInt64(intDiv(toInt128(f.spent_b) * 1000000, greatest(f.bought_b, 1))) AS price_b_micros,
  f.fills AS fills, f.all_final AS all_final,
  u.ts_opened_ns AS ts_opened_ns, u.ts_updated_ns AS ts_updated_ns, fromUnixTimestamp64Nano(u.ts_updated_ns, 'UTC') AS ts_updated,
  if(u.state IN ('hedged', 'closed') AND i.quantity_micros > 0,
     toInt64(intDiv(toInt128(i.payout_micros) * least(u.quantity_a_micros, u.quantity_b_micros), greatest(i.quantity_micros, 1))) - u.cost_micros - u.fee_micros,
     NULL) AS locked_micros
FROM (
  SELECT trade_id, any(intent_id) AS intent_id, any(pair_id) AS pair_id, any(package) AS package,
    argMax(state, sequence) AS state, argMax(reason, sequence) AS reason,
    argMax(quantity_a_micros, sequence) AS quantity_a_micros, argMax(quantity_b_micros, sequence) AS quantity_b_micros,
    argMax(residual_micros, sequence) AS residual_micros, argMax(cost_micros, sequence) AS cost_micros,
    argMax(fee_micros, sequence) AS fee_micros, argMax(edge_micros, sequence) AS edge_micros,
    min(ts_ns) AS ts_opened_ns, max(ts_ns) AS ts_updated_ns
  FROM {db}.trade_updates WHERE log_id = {current} GROUP BY trade_id
) AS u
LEFT JOIN (SELECT * FROM {db}.intents FINAL WHERE log_id = {current}) AS i ON i.intent_id = u.intent_id
LEFT JOIN (
  SELECT v.trade_id AS trade_id, count() AS fills, min(v.is_final) AS all_final,
    -sumIf(v.cash_micros, v.side = 'buy' AND v.instrument_id = w.leg_a_instrument_id AND v.outcome = w.leg_a_outcome) AS spent_a,
    -sumIf(v.cash_micros, v.side = 'buy' AND v.instrument_id = w.leg_b_instrument_id AND v.outcome = w.leg_b_outcome) AS spent_b,
    sumIf(v.quantity_micros, v.side = 'buy' AND v.instrument_id = w.leg_a_instrument_id AND v.outcome = w.leg_a_outcome) AS bought_a,
    sumIf(v.quantity_micros, v.side = 'buy' AND v.instrument_id = w.leg_b_instrument_id AND v.outcome = w.leg_b_outcome) AS bought_b
  FROM {db}.valid_fills AS v
  LEFT JOIN (SELECT * FROM {db}.intents FINAL WHERE log_id = {current}) AS w ON w.intent_id = v.intent_id
  GROUP BY v.trade_id
) AS f ON f.trade_id = u.trade_id
COMMENT 'Every trade in its last state, with both legs and what is locked in'
;
-- What the intent promised (net of friction and lock-up, scaled to the planned quantity) beside what the fills locked in, net of
-- the same costs scaled to the matched quantity. Their difference is slippage and quantity missed. Hedged trades only.
CREATE OR REPLACE VIEW {db}.entry_edge_vs_realised AS
SELECT t.trade_id AS trade_id, t.pair_id AS pair_id, t.package AS package, t.ts_updated AS ts_updated,
  least(t.quantity_a_micros, t.quantity_b_micros) AS matched_micros,
  t.edge_micros AS edge_promised_micros,
  assumeNotNull(t.locked_micros)
    - toInt64(intDiv(toInt128(t.intent_friction_micros + t.intent_lockup_micros) * matched_micros, greatest(t.intent_quantity_micros, 1))) AS edge_realised_micros,
  edge_realised_micros - edge_promised_micros AS difference_micros,
  p.net AS pnl_net_micros
FROM {db}.trades AS t
LEFT JOIN {db}.pnl AS p ON p.trade_id = t.trade_id
WHERE t.locked_micros IS NOT NULL
COMMENT 'Net edge promised by the intent beside the net edge that the fills locked in'
;
CREATE OR REPLACE VIEW {db}.slippage AS
SELECT ts, trade_id, order_id, fill_id, role, instrument_id, venue, outcome, side, quantity_micros, price_micros, price_planned_micros,
  if(side = 'buy', price_micros - price_planned_micros, price_planned_micros - price_micros) AS slippage_per_contract_micros,
  toInt64(intDiv(toInt128(slippage_per_contract_micros) * quantity_micros, 1000000)) AS slippage_micros
FROM {db}.valid_fills
COMMENT 'Fills against the displayed average price at the intent; positive is worse than planned'
;
-- tick_to_signal: append time of a signal minus stream time of its cause. Append time is in whole ms: the upper bound is taken.
-- A recording has no such latency: what is above an hour or below zero is an imported event time, and left out.
CREATE OR REPLACE VIEW {db}.stage_latency AS
SELECT * FROM (
  SELECT 'tick_to_signal' AS stage, ts_append_ms, ts_append_ms * 1000000 + 999999 - ts_ns AS latency_ns
  FROM {db}.edges FINAL WHERE log_id = {current}
  UNION ALL
  SELECT 'tick_to_signal' AS stage, ts_append_ms, ts_append_ms * 1000000 + 999999 - ts_ns AS latency_ns
  FROM {db}.tops FINAL WHERE log_id = {current}
  UNION ALL
  SELECT toString(kind) AS stage, ts_append_ms, latency_ns FROM {db}.latencies FINAL WHERE log_id = {current}
)
WHERE latency_ns BETWEEN 0 AND 3600000000000
COMMENT 'One row a measurement: tick_to_signal, tick_to_plan, hedge'
;
CREATE OR REPLACE VIEW {db}.edge_counts AS
SELECT pair_id, package, sum(evaluations) AS evaluations, sum(gross_positive) AS gross_positive, sum(net_positive) AS net_positive,
  sum(episodes) AS episodes, sum(at_threshold) AS at_threshold, sum(episodes_at_threshold) AS episodes_at_threshold,
  max(net_best_micros) AS net_best_micros
FROM (
  SELECT pair_id, package, evaluations, gross_positive, net_positive, episodes, at_threshold, episodes_at_threshold, net_best_micros
  FROM {db}.edge_statistics FINAL WHERE log_id = {current}
)
GROUP BY pair_id, package
COMMENT 'Counters of decide per pair and package'
;
CREATE OR REPLACE VIEW {db}.waterfall AS
SELECT * FROM (
  SELECT 'last' AS kind, * EXCEPT (log_id, topic, partition, offset, ts_append_ms, ts_append) FROM {db}.last_edges FINAL WHERE log_id = {current}
  UNION ALL
  SELECT 'best' AS kind, * EXCEPT (log_id, topic, partition, offset, ts_append_ms, ts_append)
  FROM (
    SELECT * FROM {db}.edges WHERE log_id = {current} AND quantity_micros > 0
    ORDER BY pair_id, package, net_per_contract_micros DESC, ts_ns, position
    LIMIT 1 BY pair_id, package
  )
)
COMMENT 'The last and the best EdgeQuote of each package: gross, fees, friction, lock-up, net, distance'
;
CREATE OR REPLACE VIEW {db}.unmatched AS
SELECT trade_id, pair_id, package, state, reason, residual_micros, quantity_a_micros, quantity_b_micros, ts_updated
FROM {db}.trades WHERE residual_micros != 0
COMMENT 'Contracts of a trade that have no partner on the other leg'
;
CREATE OR REPLACE VIEW {db}.book_roll_up AS
SELECT instrument_id, toDateTime(second, 'UTC') AS ts, argMinMerge(open) AS open_micros, maxMerge(high) AS high_micros, minMerge(low) AS low_micros,
  argMaxMerge(close) AS close_micros, argMaxMerge(bid) AS bid_micros, argMaxMerge(ask) AS ask_micros, uniqExactMerge(tops) AS updates
FROM {db}.book_states WHERE log_id = {current}
GROUP BY instrument_id, second
COMMENT 'Mid (open, high, low, close), last bid and ask of each instrument per second, from TopOfBook'
;
CREATE OR REPLACE VIEW {db}.book_activity AS
SELECT toString(instrument_id) AS instrument, toDateTime(second, 'UTC') AS at, sum(updates) AS book_updates, sum(keyframes) AS repeated,
  sum(trades) AS public_trades, sum(traded_micros) AS traded, sum(prices) AS reference_prices
FROM (SELECT * FROM {db}.market_activity FINAL WHERE log_id = {current})
GROUP BY instrument_id, second
COMMENT 'Events of market per instrument and second'
;
CREATE OR REPLACE VIEW {db}.pairs_in_force AS
SELECT pair_id, relation, instrument_a, instrument_b, haircut_micros, evidence, approved_by
FROM (
  SELECT pair_id, argMax(listed, (ts_append_ms, offset)) AS in_force,
    argMaxIf(relation, (ts_append_ms, offset), listed) AS relation, argMaxIf(instrument_a, (ts_append_ms, offset), listed) AS instrument_a,
    argMaxIf(instrument_b, (ts_append_ms, offset), listed) AS instrument_b, argMaxIf(haircut_micros, (ts_append_ms, offset), listed) AS haircut_micros,
    argMaxIf(evidence, (ts_append_ms, offset), listed) AS evidence, argMaxIf(approved_by, (ts_append_ms, offset), listed) AS approved_by
  FROM {db}.pairs WHERE log_id = {current} GROUP BY pair_id
)
WHERE in_force
COMMENT 'Pairs that are listed now'
;
