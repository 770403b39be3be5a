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
SELECT p.portfolio AS portfolio, p.instrument_id AS instrument_id, p.outcome AS outcome, p.venue AS venue,
  p.quantity AS quantity_micros,
  toInt64(intDiv(toInt128(p.spent) * 1000000, greatest(p.bought, 1))) AS average_cost_micros,
  p.fees AS fee_micros,
  m.settled AS settled,
  m.priced AS priced,
  if(p.outcome = 'yes', m.mark_yes_micros, 1000000 - m.mark_yes_micros) AS mark_micros,
  toInt64(intDiv(toInt128(p.quantity) * mark_micros, 1000000)) AS value_micros
FROM (
  SELECT portfolio, toString(instrument_id) AS instrument_id, outcome, any(venue) AS venue,
    sum(if(side = 'buy', quantity_micros, -quantity_micros)) AS quantity,
    sumIf(quantity_micros, side = 'buy') AS bought,
    -sumIf(cash_micros, side = 'buy') AS spent,
    sum(fee_micros) AS fees
  FROM {db}.valid_fills GROUP BY portfolio, instrument_id, outcome
) AS p
LEFT JOIN {db}.marks AS m ON m.instrument_id = p.instrument_id
COMMENT 'Holdings per portfolio, instrument and outcome: quantity, average cost, mark, value'
;
-- The last top of a book that the executor's journal has; one that was not usable is no price.
CREATE OR REPLACE VIEW {db}.executor_marks AS
SELECT portfolio, market_partition, instrument_id, if(usable, bid_price_micros, NULL) AS bid, if(usable, ask_price_micros, NULL) AS ask
FROM {db}.last_tops_seen FINAL WHERE log_id = {current}
COMMENT 'Executable prices that the executor of a portfolio last saw, in YES terms; what unmatched contracts are marked by'
;
-- What the executor booked as the payout of an instrument: the first word stands.
CREATE OR REPLACE VIEW {db}.payouts AS
SELECT portfolio, instrument_id, toUInt8(1) AS known, argMin(p.payout_yes_micros, p.sequence) AS payout_yes_micros
FROM (SELECT portfolio, toString(instrument_id) AS instrument_id, payout_yes_micros, sequence FROM {db}.payouts_booked FINAL WHERE log_id = {current}) AS p
GROUP BY portfolio, instrument_id
COMMENT 'Payout of YES of each instrument that paid out while a portfolio held it'
;
-- What each trade bought and sold of its two legs, in the outcome of the leg; money with fees. The other outcome of a leg's
-- instrument is the leg sold: YES and NO pay a dollar together.
CREATE OR REPLACE VIEW {db}.trade_sums AS
SELECT trade_id, any(portfolio) AS portfolio, any(strategy) AS strategy, any(intent_id) AS intent_id, any(pair_id) AS pair_id, sum(fee_micros) AS fees,
  sumIf(quantity_micros, first AND purchase) AS bought_a, sumIf(money, first AND purchase) AS paid_a,
  sumIf(quantity_micros, first AND NOT purchase) AS sold_a, sumIf(money, first AND NOT purchase) AS proceeds_a,
  sumIf(quantity_micros, NOT first AND purchase) AS bought_b, sumIf(money, NOT first AND purchase) AS paid_b,
  sumIf(quantity_micros, NOT first AND NOT purchase) AS sold_b, sumIf(money, NOT first AND NOT purchase) AS proceeds_b
FROM (
  SELECT f.trade_id AS trade_id, f.portfolio AS portfolio, f.strategy AS strategy, f.intent_id AS intent_id, f.pair_id AS pair_id, f.fee_micros AS fee_micros, f.quantity_micros AS quantity_micros,
    f.instrument_id = i.legs_instrument_id[1] AS first,
    f.outcome = if(first, i.legs_outcome[1], i.legs_outcome[2]) AS own,
    (f.side = 'buy') = own AS purchase,
    assumeNotNull(if(own, abs(f.cash_micros), f.quantity_micros - abs(f.cash_micros)) + if(purchase, f.fee_micros, -f.fee_micros)) AS money
  FROM {db}.valid_fills AS f
  LEFT JOIN (SELECT * FROM {db}.intents FINAL WHERE log_id = {current}) AS i ON i.intent_id = f.intent_id
)
GROUP BY trade_id
COMMENT 'Contracts and money of each trade by leg, executions that stand'
;
-- The two legs of each trade with what is known of their worth: payout, or the last top that the executor saw.
--   each  = what one contract is worth now, in the outcome's terms: its payout, else what the last top would pay for it, 0 without
--           one; what was sold without being held (a reversed purchase) costs what the top asks, else a dollar
CREATE OR REPLACE VIEW {db}.trade_legs AS
SELECT s.trade_id AS trade_id, s.portfolio AS portfolio, s.strategy AS strategy, s.pair_id AS pair_id, s.fees AS fees,
  s.bought_a - s.sold_a AS held_a, s.bought_b - s.sold_b AS held_b,
  greatest(least(held_a, held_b), 0) AS matched,
  s.proceeds_a + s.proceeds_b - s.paid_a - s.paid_b AS cash,
  toInt64(intDiv(toInt128(s.paid_a) * s.sold_a + greatest(s.bought_a, 1) - 1, greatest(s.bought_a, 1))) AS sold_cost_a,
  toInt64(intDiv(toInt128(s.paid_b) * s.sold_b + greatest(s.bought_b, 1) - 1, greatest(s.bought_b, 1))) AS sold_cost_b,
  s.proceeds_a - sold_cost_a + s.proceeds_b - sold_cost_b AS unwound,
  s.sold_a + s.sold_b AS unwound_contracts,
  held_a - matched AS alone_a, held_b - matched AS alone_b,
  toInt64(intDiv(toInt128(s.paid_a) * greatest(alone_a, 0) + greatest(s.bought_a, 1) - 1, greatest(s.bought_a, 1))) AS alone_cost_a,
  toInt64(intDiv(toInt128(s.paid_b) * greatest(alone_b, 0) + greatest(s.bought_b, 1) - 1, greatest(s.bought_b, 1))) AS alone_cost_b,
  pa.known AS paid_out_a, pb.known AS paid_out_b,
  i.legs_payout_unit_micros[1] AS unit_a, i.legs_payout_unit_micros[2] AS unit_b,
  if(i.legs_outcome[1] = 'yes', pa.payout_yes_micros, 1000000 - pa.payout_yes_micros) AS payout_a,
  if(i.legs_outcome[2] = 'yes', pb.payout_yes_micros, 1000000 - pb.payout_yes_micros) AS payout_b,
  multiIf(paid_out_a, payout_a,
    alone_a >= 0, ifNull(if(i.legs_outcome[1] = 'yes', ta.bid, 1000000 - ta.ask), 0),
    ifNull(if(i.legs_outcome[1] = 'yes', ta.ask, 1000000 - ta.bid), 1000000)) AS each_a,
  multiIf(paid_out_b, payout_b,
    alone_b >= 0, ifNull(if(i.legs_outcome[2] = 'yes', tb.bid, 1000000 - tb.ask), 0),
    ifNull(if(i.legs_outcome[2] = 'yes', tb.ask, 1000000 - tb.bid), 1000000)) AS each_b,
  toInt64(intDiv(toInt128(i.payout_micros) * matched, greatest(i.quantity_micros, 1))) AS worst
FROM {db}.trade_sums AS s
LEFT JOIN (SELECT * FROM {db}.intents FINAL WHERE log_id = {current}) AS i ON i.intent_id = s.intent_id
LEFT JOIN {db}.payouts AS pa ON pa.portfolio = s.portfolio AND pa.instrument_id = i.legs_instrument_id[1]
LEFT JOIN {db}.payouts AS pb ON pb.portfolio = s.portfolio AND pb.instrument_id = i.legs_instrument_id[2]
LEFT JOIN {db}.executor_marks AS ta ON ta.portfolio = s.portfolio AND ta.market_partition = i.partition AND ta.instrument_id = i.legs_instrument_id[1]
LEFT JOIN {db}.executor_marks AS tb ON tb.portfolio = s.portfolio AND tb.market_partition = i.partition AND tb.instrument_id = i.legs_instrument_id[2]
COMMENT 'Both legs of each trade: held, matched, unmatched, and what a contract of each is worth'
;
-- The one definition of profit and loss; executors/portfolio/equity.py is the same for the loss stops.
--   net      = cash (fees included) + known value
--   value    = once both payouts are known: what both legs pay, each floored to the venue's unit
--              before: worst admissible payout of the matched contracts + the unmatched ones at what each is worth
--   marked   = unmatched contracts without a payout at mark, less what they cost
--   locked   = net - marked: what no price can change any more. unwound: the part of it that sales made or lost
--   gross    = net + fees
-- Divisions floor to the micro (intDiv truncates, so a negative numerator is moved first): what contracts are worth rounds down,
-- what they cost rounds up.
CREATE OR REPLACE VIEW {db}.pnl AS
SELECT trade_id, portfolio, strategy, pair_id AS pair,
  net + fees AS gross, fees,
  if(paid_out_a AND paid_out_b, cash + pays_a + pays_b, cash + worst + worth_a + worth_b) AS net,
  net - marked AS locked,
  if(paid_out_a AND paid_out_b, 0, if(alone_a != 0 AND NOT paid_out_a, worth_a - alone_cost_a, 0) + if(alone_b != 0 AND NOT paid_out_b, worth_b - alone_cost_b, 0)) AS marked,
  unwound,
  matched AS matched_micros,
  if(paid_out_a AND paid_out_b, 0, if(paid_out_a, 0, abs(alone_a)) + if(paid_out_b, 0, abs(alone_b))) AS unmatched_micros,
  unwound_contracts AS unwound_micros
FROM (
  SELECT *,
    toInt64(intDiv(toInt128(payout_a) * held_a - if(held_a < 0, 1000000 * unit_a - 1, 0), 1000000 * unit_a)) * unit_a AS pays_a,
    toInt64(intDiv(toInt128(payout_b) * held_b - if(held_b < 0, 1000000 * unit_b - 1, 0), 1000000 * unit_b)) * unit_b AS pays_b,
    if(paid_out_a, unit_a, 1) AS step_a, if(paid_out_b, unit_b, 1) AS step_b,
    toInt64(intDiv(toInt128(each_a) * alone_a - if(alone_a < 0, 1000000 * step_a - 1, 0), 1000000 * step_a)) * step_a AS worth_a,
    toInt64(intDiv(toInt128(each_b) * alone_b - if(alone_b < 0, 1000000 * step_b - 1, 0), 1000000 * step_b)) * step_b AS worth_b
  FROM {db}.trade_legs
)
COMMENT 'PnL per trade, micros: net = gross - fees = locked + marked; a mark is what the last top that the executor saw would pay'
;
CREATE OR REPLACE VIEW {db}.pnl_total AS
SELECT portfolio, sum(gross) AS gross_micros, sum(fees) AS fees_micros, sum(net) AS net_micros,
  sum(locked) AS locked_micros, sum(marked) AS marked_micros, sum(unwound) AS unwound_net_micros,
  sum(matched_micros) AS hedged_contracts_micros, sum(unwound_micros) AS unwound_contracts_micros,
  sum(unmatched_micros) AS unmatched_contracts_micros, count() AS trades
FROM {db}.pnl
GROUP BY portfolio
COMMENT 'PnL of each portfolio and the contracts it stands for, one row each'
;
CREATE OR REPLACE VIEW {db}.orders AS
SELECT q.portfolio AS portfolio, q.strategy AS strategy, q.trade_id AS trade_id, q.order_id AS order_id, q.role AS role, q.attempt AS attempt, q.instrument_id AS instrument_id,
  q.outcome AS outcome, q.side AS side, q.price_limit_micros AS price_limit_micros, q.quantity_micros AS quantity_micros,
  if(r.order_id = '', 'requested', r.status) AS status, r.filled AS filled_micros, r.why AS reason, q.ts AS ts_requested
FROM (SELECT * FROM {db}.order_requests FINAL WHERE log_id = {current}) AS q
LEFT JOIN (
  SELECT order_id, argMax(order_status, sequence) AS status, max(cumulative_quantity_micros) AS filled, argMax(reason, sequence) AS why
  FROM {db}.order_reports WHERE log_id = {current} GROUP BY order_id
) AS r ON r.order_id = q.order_id
COMMENT 'Every order with its last reported state'
;
-- unwound: flat after something was filled. hedged_micros and unwound_micros are contracts held on both legs and contracts sold again:
-- a trade that was hedged in part and sold back in part has both. Money is that of the view pnl.
CREATE OR REPLACE VIEW {db}.trades AS
SELECT u.trade_id AS trade_id, u.portfolio AS portfolio, u.strategy AS strategy, u.intent_id AS intent_id, u.pair_id AS pair_id, u.package AS package, u.state AS state, u.reason AS reason,
  f.fills > 0 AND u.state = 'flat' AS unwound,
  u.quantity_a_micros AS quantity_a_micros, u.quantity_b_micros AS quantity_b_micros, u.residual_micros AS residual_micros,
  u.cost_micros AS cost_micros, u.fee_micros AS fee_micros, u.edge_micros AS edge_micros,
  i.quantity_micros AS intent_quantity_micros, i.payout_micros AS intent_payout_micros,
  i.friction_micros AS intent_friction_micros, i.lockup_micros AS intent_lockup_micros,
  i.legs_instrument_id[1] AS instrument_a, i.legs_outcome[1] AS outcome_a, i.legs_instrument_id[2] AS instrument_b, i.legs_outcome[2] AS outcome_b,
  f.spent_a AS spent_a, f.spent_b AS spent_b,
  toInt64(intDiv(toInt128(f.spent_a) * 1000000, greatest(f.bought_a, 1))) AS price_a_micros,
  toInt64(intDiv(toInt128(f.spent_b) * 1000000, greatest(f.bought_b, 1))) AS price_b_micros,
  f.fills AS fills, f.all_final AS all_final,
  u.ts_opened_ns AS ts_opened_ns, u.ts_updated_ns AS ts_updated_ns, fromUnixTimestamp64Nano(u.ts_updated_ns, 'UTC') AS ts_updated,
  p.matched_micros AS hedged_micros, p.unwound_micros AS unwound_micros, p.unmatched_micros AS unmatched_micros,
  p.locked AS locked_micros, p.marked AS marked_micros, p.unwound AS unwound_net_micros, p.net AS net_micros
FROM (
  SELECT trade_id, any(portfolio) AS portfolio, any(strategy) AS strategy, any(intent_id) AS intent_id, any(pair_id) AS pair_id, any(package) AS package,
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
    -sumIf(v.cash_micros, v.side = 'buy' AND v.instrument_id = w.legs_instrument_id[1] AND v.outcome = w.legs_outcome[1]) AS spent_a,
    -sumIf(v.cash_micros, v.side = 'buy' AND v.instrument_id = w.legs_instrument_id[2] AND v.outcome = w.legs_outcome[2]) AS spent_b,
    sumIf(v.quantity_micros, v.side = 'buy' AND v.instrument_id = w.legs_instrument_id[1] AND v.outcome = w.legs_outcome[1]) AS bought_a,
    sumIf(v.quantity_micros, v.side = 'buy' AND v.instrument_id = w.legs_instrument_id[2] AND v.outcome = w.legs_outcome[2]) AS bought_b
  FROM {db}.valid_fills AS v
  LEFT JOIN (SELECT * FROM {db}.intents FINAL WHERE log_id = {current}) AS w ON w.intent_id = v.intent_id
  GROUP BY v.trade_id
) AS f ON f.trade_id = u.trade_id
LEFT JOIN {db}.pnl AS p ON p.trade_id = u.trade_id
COMMENT 'Every trade in its last state, with both legs, what of it is hedged, what was sold again, and what is locked in'
;
-- What the intent promised (net of friction and lock-up, scaled to the planned quantity) beside what the fills locked in, net of
-- the same costs scaled to the matched quantity. Their difference is slippage and quantity missed. Hedged trades only.
CREATE OR REPLACE VIEW {db}.entry_edge_vs_realised AS
SELECT t.trade_id AS trade_id, t.portfolio AS portfolio, t.strategy AS strategy, t.pair_id AS pair_id, t.package AS package, t.ts_updated AS ts_updated,
  least(t.quantity_a_micros, t.quantity_b_micros) AS matched_micros,
  t.edge_micros AS edge_promised_micros,
  toInt64(intDiv(toInt128(t.intent_payout_micros) * matched_micros, greatest(t.intent_quantity_micros, 1))) - t.cost_micros - t.fee_micros
    - toInt64(intDiv(toInt128(t.intent_friction_micros + t.intent_lockup_micros) * matched_micros, greatest(t.intent_quantity_micros, 1))) AS edge_realised_micros,
  edge_realised_micros - edge_promised_micros AS difference_micros,
  t.net_micros AS pnl_net_micros
FROM {db}.trades AS t
WHERE t.state IN ('hedged', 'closed') AND t.intent_quantity_micros > 0
COMMENT 'Net edge promised by the intent beside the net edge that the fills locked in'
;
CREATE OR REPLACE VIEW {db}.slippage AS
SELECT ts, portfolio, strategy, trade_id, order_id, fill_id, role, instrument_id, venue, outcome, side, quantity_micros, price_micros, price_planned_micros,
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
SELECT strategy, pair_id, package, sum(evaluations) AS evaluations, sum(gross_positive) AS gross_positive, sum(net_positive) AS net_positive,
  sum(episodes) AS episodes, sum(at_threshold) AS at_threshold, sum(episodes_at_threshold) AS episodes_at_threshold,
  max(net_best_micros) AS net_best_micros
FROM (
  SELECT strategy, pair_id, package, evaluations, gross_positive, net_positive, episodes, at_threshold, episodes_at_threshold, net_best_micros
  FROM {db}.edge_statistics FINAL WHERE log_id = {current}
)
GROUP BY strategy, pair_id, package
COMMENT 'Counters of decide per strategy, pair and package'
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
COMMENT 'The last and the best EdgeUpdate of each package: gross, fees, friction, lock-up, net, distance'
;
CREATE OR REPLACE VIEW {db}.unmatched AS
SELECT trade_id, portfolio, strategy, pair_id, package, state, reason, residual_micros, quantity_a_micros, quantity_b_micros, ts_updated
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
