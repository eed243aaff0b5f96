-- name: list_requests
-- A page of a workspace's requests, newest first, after the cursor (in microseconds, and the id).
SELECT time, id, request_id, workspace_id, user_id, key_id, is_admin, method, route, status, duration_ms, sent_bytes
FROM api_requests
WHERE workspace_id = {workspace_id:UUID}
  AND time >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
  AND time < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND (time, id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:UUID})
  AND ({method:String} = '' OR method = {method:String})
  AND ({route:String} = '' OR route = {route:String})
  AND status BETWEEN {least_status:UInt16} AND {greatest_status:UInt16}
  AND ({key_id:String} = '' OR key_id = {key_id:String})
ORDER BY time DESC, id DESC
LIMIT {limit:UInt32};

-- name: list_all_requests
-- The same for the platform admin: of all workspaces, or of one user where `user_id` is not zero.
SELECT time, id, request_id, workspace_id, user_id, key_id, is_admin, method, route, status, duration_ms, sent_bytes
FROM api_requests
WHERE ({user_id:UUID} = '00000000-0000-0000-0000-000000000000' OR user_id = {user_id:UUID})
  AND time >= fromUnixTimestamp64Micro({start_us:Int64}, 'UTC')
  AND time < fromUnixTimestamp64Micro({end_us:Int64}, 'UTC')
  AND (time, id) < (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_id:UUID})
  AND ({method:String} = '' OR method = {method:String})
  AND ({route:String} = '' OR route = {route:String})
  AND status BETWEEN {least_status:UInt16} AND {greatest_status:UInt16}
  AND ({key_id:String} = '' OR key_id = {key_id:String})
ORDER BY time DESC, id DESC
LIMIT {limit:UInt32};
