-- name: find_raw_ttl
-- How long raw scans are kept, as the table says it.
SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = 'qr_scan_events';

-- name: compare_days
-- Rows and counted scans by day of one month, raw and rolled up; a checksum finds what moved from code to code.
SELECT day,
       sum(raw_events) AS raw_rows,
       sum(raw_counted) AS raw_scans,
       sum(late) AS in_flight,
       sum(rolled_up_events) AS rolled_up_rows,
       sum(rolled_up_scans) AS rolled_up_scans,
       sum(checksum) = 0 AS agrees
FROM (
    SELECT toDate(scanned_at, 'UTC') AS day,
           count() AS raw_events,
           countIf(outcome = 'redirect' AND NOT is_bot) AS raw_counted,
           countIf(received_at > fromUnixTimestamp64Milli({settled_ms:Int64}, 'UTC')) AS late,
           toUInt64(0) AS rolled_up_events,
           toUInt64(0) AS rolled_up_scans,
           sum(cityHash64(workspace_id, qr_id) * (1 + if(outcome = 'redirect' AND NOT is_bot,
               cityHash64('scans') + cityHash64('devices', toString(device_type)) + cityHash64('os', toString(os))
               + cityHash64('browsers', toString(browser)) + cityHash64('countries', toString(country)), 0)))
               AS checksum
    FROM qr_scan_events
    WHERE scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
    GROUP BY day
    UNION ALL
    SELECT date AS day,
           toUInt64(0) AS raw_events,
           toUInt64(0) AS raw_counted,
           toUInt64(0) AS late,
           sum(d.events) AS rolled_up_events,
           sum(d.scans) AS rolled_up_scans,
           sum(cityHash64(workspace_id, qr_id) * (0xFFFFFFFFFFFFFFFF * (d.events
               + cityHash64('scans') * d.scans
               + arraySum(arrayMap((k, v) -> cityHash64('devices', k) * v, mapKeys(devices), mapValues(devices)))
               + arraySum(arrayMap((k, v) -> cityHash64('os', k) * v, mapKeys(d.os), mapValues(d.os)))
               + arraySum(arrayMap((k, v) -> cityHash64('browsers', k) * v, mapKeys(browsers), mapValues(browsers)))
               + arraySum(arrayMap((k, v) -> cityHash64('countries', k) * v, mapKeys(countries), mapValues(countries)))
               ))) AS checksum
    FROM daily_aggregates AS d
    WHERE date >= toDate(fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC'))
      AND date < toDate(fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC'))
    GROUP BY day
)
GROUP BY day
ORDER BY day;

-- name: count_accepted
-- Rows and counted scans of accepted batches by day; a batch over several days is spread over them as raw has it.
WITH batches AS (
    SELECT batch_id,
           any(b.rows) AS accepted_rows,
           any(b.scans) AS accepted_scans,
           toDate(any(first_scan_at), 'UTC') AS first_day,
           toDate(any(last_scan_at), 'UTC') AS last_day
    FROM scan_batches AS b
    WHERE first_scan_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND last_scan_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND frozen_at <= fromUnixTimestamp64Milli({settled_ms:Int64}, 'UTC')
    GROUP BY batch_id
)
SELECT day, sum(day_rows) AS accepted_rows, sum(day_scans) AS accepted_scans
FROM (
    SELECT first_day AS day, sum(accepted_rows) AS day_rows, sum(accepted_scans) AS day_scans
    FROM batches
    WHERE first_day = last_day
    GROUP BY day
    UNION ALL
    SELECT toDate(scanned_at, 'UTC') AS day,
           count() AS day_rows,
           countIf(outcome = 'redirect' AND NOT is_bot) AS day_scans
    FROM qr_scan_events
    WHERE scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND batch_id IN (SELECT batch_id FROM batches WHERE first_day != last_day)
    GROUP BY day
)
GROUP BY day;

-- name: list_differing_batches
-- Settled batches of one month of which raw and scan_batches say different things.
SELECT batch_id,
       sum(accounts) AS has_account,
       sum(accepted_rows) AS rows_accepted,
       sum(accepted_scans) AS scans_accepted,
       sum(raw_rows) AS rows_found,
       sum(raw_scans) AS scans_found,
       min(first_at) AS first_scan_at,
       max(last_at) AS last_scan_at
FROM (
    SELECT batch_id,
           toUInt64(0) AS accounts,
           toUInt64(0) AS accepted_rows,
           toUInt64(0) AS accepted_scans,
           count() AS raw_rows,
           countIf(outcome = 'redirect' AND NOT is_bot) AS raw_scans,
           min(scanned_at) AS first_at,
           max(scanned_at) AS last_at
    FROM qr_scan_events
    WHERE scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND received_at <= fromUnixTimestamp64Milli({settled_ms:Int64}, 'UTC')
      AND (empty({batch_ids:Array(UUID)}) OR batch_id IN {batch_ids:Array(UUID)})
    GROUP BY batch_id
    UNION ALL
    SELECT batch_id,
           toUInt64(1) AS accounts,
           any(b.rows) AS accepted_rows,
           any(b.scans) AS accepted_scans,
           toUInt64(0) AS raw_rows,
           toUInt64(0) AS raw_scans,
           any(first_scan_at) AS first_at,
           any(last_scan_at) AS last_at
    FROM scan_batches AS b
    WHERE first_scan_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND first_scan_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND frozen_at <= fromUnixTimestamp64Milli({settled_ms:Int64}, 'UTC')
      AND (empty({batch_ids:Array(UUID)}) OR batch_id IN {batch_ids:Array(UUID)})
    GROUP BY batch_id
)
GROUP BY batch_id
HAVING has_account = 0 OR rows_accepted != rows_found OR scans_accepted != scans_found
ORDER BY first_scan_at, batch_id
LIMIT {limit:UInt32};

-- name: list_differing_keys
-- The codes after one, of which raw and rollup say different things for one day.
SELECT workspace_id, qr_id
FROM (
    SELECT workspace_id,
           qr_id,
           sum(1 + if(outcome = 'redirect' AND NOT is_bot,
               cityHash64('scans') + cityHash64('devices', toString(device_type)) + cityHash64('os', toString(os))
               + cityHash64('browsers', toString(browser)) + cityHash64('countries', toString(country)), 0))
               AS checksum
    FROM qr_scan_events
    WHERE scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
      AND (workspace_id, qr_id) > ({after_workspace:UUID}, {after_qr:UUID})
    GROUP BY workspace_id, qr_id
    UNION ALL
    SELECT workspace_id,
           qr_id,
           sum(0xFFFFFFFFFFFFFFFF * (d.events
               + cityHash64('scans') * d.scans
               + arraySum(arrayMap((k, v) -> cityHash64('devices', k) * v, mapKeys(devices), mapValues(devices)))
               + arraySum(arrayMap((k, v) -> cityHash64('os', k) * v, mapKeys(d.os), mapValues(d.os)))
               + arraySum(arrayMap((k, v) -> cityHash64('browsers', k) * v, mapKeys(browsers), mapValues(browsers)))
               + arraySum(arrayMap((k, v) -> cityHash64('countries', k) * v, mapKeys(countries), mapValues(countries)))
               )) AS checksum
    FROM daily_aggregates AS d
    WHERE date = toDate(fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC'))
      AND (workspace_id, qr_id) > ({after_workspace:UUID}, {after_qr:UUID})
    GROUP BY workspace_id, qr_id
)
GROUP BY workspace_id, qr_id
HAVING sum(checksum) != 0
ORDER BY workspace_id, qr_id
LIMIT {limit:UInt32};

-- name: count_accounted_rows
-- Of some codes on one day, the rows whose batch has a line in scan_batches.
SELECT workspace_id, qr_id, count() AS events
FROM qr_scan_events
WHERE (workspace_id, qr_id) IN {keys:Array(Tuple(UUID, UUID))}
  AND scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
  AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
  AND batch_id IN (
      SELECT batch_id
      FROM scan_batches
      WHERE first_scan_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
        AND last_scan_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
  )
GROUP BY workspace_id, qr_id;

-- name: read_rolled_up
-- What the rollup says of some codes on one day.
SELECT workspace_id,
       qr_id,
       sum(d.events) AS all_events,
       sum(d.scans) AS all_scans,
       sumMap(d.devices) AS all_devices,
       sumMap(d.os) AS all_os,
       sumMap(d.browsers) AS all_browsers,
       sumMap(d.countries) AS all_countries
FROM daily_aggregates AS d
WHERE (workspace_id, qr_id) IN {keys:Array(Tuple(UUID, UUID))}
  AND date = toDate(fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC'))
GROUP BY workspace_id, qr_id;

-- name: read_raw
-- What the rollup should say of them: the view's own expressions.
SELECT workspace_id,
       qr_id,
       count() AS events,
       countIf(outcome = 'redirect' AND NOT is_bot) AS scans,
       sumMapIf(map(toString(device_type), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS devices,
       sumMapIf(map(toString(e.os), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS systems,
       sumMapIf(map(toString(browser), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS browsers,
       sumMapIf(map(toString(country), toUInt64(1)), outcome = 'redirect' AND NOT is_bot) AS countries
FROM qr_scan_events AS e
WHERE (workspace_id, qr_id) IN {keys:Array(Tuple(UUID, UUID))}
  AND scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
  AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
GROUP BY workspace_id, qr_id;

-- name: list_batches_of_keys
-- The batches that some codes' scans of one day came in, at most 200 of each code's: first those with as many rows of it
-- as it differs by.
SELECT workspace_id, qr_id, batch_id, events = differs_by AS fits
FROM (
    SELECT workspace_id,
           qr_id,
           batch_id,
           count() AS events,
           any({differs_by:Array(UInt64)}[indexOf({keys:Array(Tuple(UUID, UUID))}, (workspace_id, qr_id))]) AS differs_by
    FROM qr_scan_events
    WHERE (workspace_id, qr_id) IN {keys:Array(Tuple(UUID, UUID))}
      AND scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
      AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
    GROUP BY workspace_id, qr_id, batch_id
)
ORDER BY workspace_id, qr_id, fits DESC, batch_id
LIMIT 200 BY workspace_id, qr_id;

-- name: count_codes_of_batches
-- How many codes some batches have scans of, on one day.
SELECT batch_id, uniqExact(workspace_id, qr_id) AS codes
FROM qr_scan_events
WHERE scanned_at >= fromUnixTimestamp64Milli({start_ms:Int64}, 'UTC')
  AND scanned_at < fromUnixTimestamp64Milli({end_ms:Int64}, 'UTC')
  AND batch_id IN {batch_ids:Array(UUID)}
GROUP BY batch_id;

-- name: list_unsettled_corrections
-- Corrections of which nobody knows whether they are in the rollup.
SELECT correction_id,
       max(created_at) >= fromUnixTimestamp64Milli({resend_from_ms:Int64}, 'UTC') AS is_recent
FROM rollup_corrections
WHERE correction_id NOT IN (SELECT correction_id FROM settled_corrections)
GROUP BY correction_id
ORDER BY correction_id;

-- name: read_correction
-- The rows of one correction.
SELECT toString(workspace_id), toString(qr_id), toString(date), events, scans, devices, os, browsers, countries
FROM rollup_corrections
WHERE correction_id = {correction_id:UUID}
ORDER BY workspace_id, qr_id, date;
