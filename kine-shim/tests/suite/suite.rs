//! Black-box cases of the etcd v3 contract, for any endpoint.
//!
//! Every case gets a store of its own that nobody has written to. The same cases run against
//! kine-shim on each backend and against a real etcd, which is the judge of the cases themselves.

pub(crate) mod client;
pub(crate) mod kv;
pub(crate) mod lease;
pub(crate) mod ranges;
pub(crate) mod server;
pub(crate) mod sizes;
pub(crate) mod target;
pub(crate) mod txn;
pub(crate) mod txn_errors;
pub(crate) mod watch;
pub(crate) mod watch_history;

/// Calls a macro with every case, as `module::case`.
#[macro_export]
macro_rules! every_case {
    ($callback:ident) => {
        $callback! {
            kv::put_of_the_same_value_is_a_write,
            kv::delete_of_nothing_changes_nothing,
            kv::key_begins_anew_after_its_deletion,
            kv::put_options_are_checked,
            kv::previous_pairs_are_answered_on_request,
            kv::concurrent_puts_get_dense_revisions,
            kv::compaction_is_refused_below_and_above,
            kv::compaction_at_a_deletion_keeps_the_tombstone_for_watches,
            kv::errors_have_the_codes_and_texts_of_the_contract,
            ranges::header_of_a_past_range_is_current,
            ranges::sort_and_filters_come_before_the_limit,
            ranges::count_ignores_limit_and_filters,
            ranges::binary_keys_are_ordered_by_their_bytes,
            ranges::every_range_form_is_understood,
            ranges::keys_only_drops_values,
            ranges::read_only_transaction_is_one_snapshot,
            ranges::streamed_range_merges_into_the_range,
            txn::failed_compare_answers_the_else_branch,
            txn::missing_key_compares_as_zero_and_has_no_value,
            txn::compares_of_ranges_need_every_key,
            txn::inner_headers_show_the_revision_of_their_operation,
            txn::operations_see_those_before_them,
            txn::nested_compares_see_the_state_before,
            txn::empty_transaction_succeeds,
            txn_errors::duplicate_keys_are_refused,
            txn_errors::future_revision_inside_rolls_back_everything,
            txn_errors::error_in_the_chosen_branch_rolls_back_everything,
            txn_errors::operations_are_limited,
            txn_errors::empty_operations_are_refused,
            watch::progress_of_an_idle_watch_is_current,
            watch::previous_pairs_come_with_changes_but_not_with_creations,
            watch::transaction_comes_as_one_message,
            watch::watch_from_the_future_starts_there,
            watch::identifiers_are_given_out_and_checked,
            watch::filters_withhold_events,
            watch::half_closed_stream_goes_on,
            watch::many_watchers_share_a_stream,
            watch_history::created_comes_before_history,
            watch_history::watch_below_compaction_is_cancelled_with_the_revision,
            watch_history::revision_is_never_split_by_catching_up,
            watch_history::progress_never_overtakes_events,
            lease::revocation_deletes_sorted_in_one_revision,
            lease::keys_can_leave_and_change_leases,
            lease::unknown_leases_are_answers_not_errors,
            lease::grants_are_checked,
            lease::time_to_live_counts_down_and_lists_keys,
            lease::expired_lease_deletes_its_keys,
            sizes::largest_request_is_taken_and_larger_ones_refused,
            sizes::large_list_comes_in_one_answer,
            sizes::large_revision_is_split_only_on_request,
            sizes::many_streams_share_a_connection,
            server::status_and_members_tell_where_to_go,
            server::http_endpoints_answer_like_etcd,
            server::authentication_is_off,
            server::unknown_methods_are_unimplemented,
        }
    };
}
