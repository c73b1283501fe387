//! The one place that decides whether a request may leave, and with what.

use eyas_core::Message;

use crate::{
    CloudAllowed, CloudPermit, Privacy, Refusal, TaintRule, TierRequest,
    chat_body::{Question, chat_body},
    cloud_call::Dispatch,
    tiers::Shared,
};

/// So often a request asks the cloud, each time with all its attempts, where its device is lost again and again.
const MOST_CLOUD_ROUNDS: u32 = 2;

/// The leave to ask the cloud with what it would be asked, and what that lacks; or why there is none.
pub(crate) fn leave(
    shared: &Shared,
    id: u64,
    privacy: Privacy,
    request: &TierRequest,
) -> Result<(Dispatch, Vec<String>), Refusal> {
    let allowed = CloudAllowed::by(privacy)?;
    let (Some(cloud), Some(endpoint)) = (&shared.cloud, &shared.endpoint) else {
        return Err(Refusal::may_not("the application configured no cloud"));
    };
    let Some(messages) = &request.messages else {
        return Err(Refusal::cannot("text to continue has no place in the cloud's chat protocol"));
    };
    let mut taints = shared.taints.borrow_mut();
    let may_leave: Vec<Message> = messages.iter().filter(|message| !taints.holds(request.session, message)).cloned().collect();
    let mut downgrades = Vec::new();
    if may_leave.len() < messages.len() {
        let is_question = messages.last().is_some_and(|last| taints.holds(request.session, last));
        if cloud.config.taint == TaintRule::Refuse || is_question {
            return Err(Refusal::may_not("its messages hold what a local-only request said"));
        }
        downgrades.push("messages of local-only requests".to_owned());
    }
    taints.mark_open(request.session, &may_leave);
    if request.earlier.cloud_rounds >= MOST_CLOUD_ROUNDS {
        return Err(Refusal::cannot(format!("the cloud was asked {} times for this request", request.earlier.cloud_rounds)));
    }
    let question = Question {
        messages: &may_leave,
        options: &request.options,
        own_seed: request.own_seed,
        has_tools: request.has_tools,
        has_template_variables: request.has_template_variables,
    };
    let body = chat_body(&cloud.config, question).map_err(|error| Refusal::cannot(error.to_string()))?;
    downgrades.extend(body.downgrades);
    let permit = CloudPermit::grant(allowed, endpoint);
    let (earlier_attempts, had_refresh) = (request.earlier.cloud_attempts, request.earlier.token_refused);
    let dispatch = Dispatch { permit, body: body.bytes, request: id, earlier_attempts, had_refresh, why: Refusal::cannot("") };
    Ok((dispatch, downgrades))
}
