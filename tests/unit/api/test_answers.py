from api.answers import json_answer
from api.schemas.page import ListBody
from api.schemas.policy import PolicyBody
from core.domain.policy import DEFAULT_POLICY, current


def test_an_answer_is_the_body_as_fastapi_would_send_it(client):
    sent = client.get("/v1/policies").content
    body = ListBody[PolicyBody].model_validate_json(sent)

    answer = json_answer(body)

    assert answer.body == sent
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_an_answer_has_the_status_and_the_headers_that_it_is_given():
    answer = json_answer(PolicyBody.of(current(DEFAULT_POLICY)), status=202, headers={"Location": "/v1/there"})

    assert answer.status_code == 202
    assert answer.headers["location"] == "/v1/there"
