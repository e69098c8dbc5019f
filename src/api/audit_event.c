// SPDX-License-Identifier: Apache-2.0
// What of a request the audit log records. Writes carry their event into their own commit
// (data_write.c asks for it); everything else is recorded here, when its answer is ready and before
// it is sent: whoever has seen an answer finds its entry in the log. That costs such a request the
// wait for a commit, and bounds what waits by the connections.
//
// A request leaves one entry. Its resource is the key, the member, or the path without its query;
// values and credentials are in neither.
#include "api/api_internal.h"

#include "node/audit.h"

struct audit_input {
    struct kvs_api_call *call;
    struct kvs_audit_event event;
    struct kvs_write write;
    int err; // the answer's
};

void kvs_api_audit_describe(const struct kvs_api_call *call, struct kvs_audit_event *ret_event)
{
    const struct kvs_http_request *request = &call->exchange->request;
    struct kvs_slice subject = call->subject.size > 0 ? call->subject : call->key;
    *ret_event = (struct kvs_audit_event){
        .action = call->has_action ? call->action : KVS_AUDIT_auth_failure,
        .user = call->grant ? kvs_grant_user(call->grant) : NULL,
        .resource = subject.size > 0 ? subject : request->path,
        .request_id = kvs_slice_from_str(request->id),
    };
}

static bool is_refusal(int err)
{
    return err == KVS_ERR_UNAUTHORIZED || err == KVS_ERR_FORBIDDEN;
}

// Malformed requests and our own failures attempt nothing.
static bool is_outcome(int err)
{
    switch (err) {
    case 0:
    case KVS_ERR_NOT_FOUND:
    case KVS_ERR_PRECONDITION:
    case KVS_ERR_CONFLICT:
    case KVS_ERR_READ_ONLY:
        return true;
    default:
        return is_refusal(err);
    }
}

static bool is_wanted(const struct kvs_api_call *call, int err)
{
    const struct kvs_node *node = call->api->options.node;
    if (call->audited || !call->api->options.audit || !call->route || !is_outcome(err))
        return false;
    return (call->has_action && kvs_node_audits(node, call->action)) ||
           (is_refusal(err) && kvs_node_audits(node, KVS_AUDIT_auth_failure));
}

static void recorded(struct kvs_task *task)
{
    struct audit_input *input = KVS_CONTAINER_OF(task, struct audit_input, write.done);
    if (!input->write.audited) // a failing disk does not keep reads from being served
        kvs_node_audit_lost(input->call->api->options.node);
    kvs_api_finish(input->call, input->err);
}

bool kvs_api_audit_first(struct kvs_api_call *call, int err)
{
    if (!is_wanted(call, err))
        return false;
    call->audited = true; // once, whatever comes of it
    struct audit_input *input = kvs_api_alloc(call, sizeof(*input));
    if (!input) {
        kvs_node_audit_lost(call->api->options.node);
        return false;
    }
    *input = (struct audit_input){.call = call, .err = err};
    kvs_api_audit_describe(call, &input->event);
    input->write.audit = &input->event;
    input->write.err = err;
    input->write.executor = call->exchange->loop;
    input->write.done.run = recorded;
    kvs_node_audit(call->api->options.node, &input->write);
    return true;
}

void kvs_api_audit_note(struct kvs_api_call *call)
{
    struct kvs_audit_event event;
    if (!is_wanted(call, 0))
        return;
    call->audited = true;
    kvs_api_audit_describe(call, &event);
    kvs_node_audit_note(call->api->options.node, &event, 0);
}
