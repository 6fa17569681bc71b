# A release names an image by its digest, and production pulls from its own registry: the registry that training pushes
# to copies every image there. Only this one account may copy in, and only into repositories that are there already.
resource "aws_ecr_replication_configuration" "this" {
  count = var.registry.replicate_to == null ? 0 : 1

  replication_configuration {
    rule {
      destination {
        region      = var.context.region
        registry_id = var.registry.replicate_to
      }

      repository_filter {
        filter      = "${var.context.project}/"
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}

data "aws_iam_policy_document" "replication" {
  count = var.registry.replicate_from == null ? 0 : 1

  statement {
    sid       = "ReplicatesImages"
    actions   = ["ecr:ReplicateImage"]
    resources = ["arn:aws:ecr:${var.context.region}:${var.context.account_id}:repository/${var.context.project}/*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${var.registry.replicate_from}:root"]
    }
  }
}

resource "aws_ecr_registry_policy" "this" {
  count = var.registry.replicate_from == null ? 0 : 1

  policy = data.aws_iam_policy_document.replication[0].json
}
